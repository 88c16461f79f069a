"""What became of the messages that came, counted in the transactions that store them.

So the counters hold exactly what holds of the readings and rejected messages: a batch that was
undone counts nothing, and received = stored + duplicate + rejected in every row. What comes twice
is counted twice: a message that the broker sends again, and a batch that is repeated because the
answer to its COMMIT got lost, of which the second time all is duplicate. What is replayed is not
counted: it was, as rejected, when it came.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg
from django.db import connection

from devices.models import KnownDevice
from telemetry.incoming import Incoming
from telemetry.insert import Rows

# By the name in the topic, for most messages of a device that is unknown have a tenant. Each
# writer, a connection to the database, has rows of its own: nobody waits for another's commit.
ADD = """
INSERT INTO telemetry_messagecount AS known
    (minute, tenant_id, writer, stored, duplicate, rejected)
SELECT date_trunc('minute', now()), tenant.id, pg_backend_pid(),
    sum(said.stored), sum(said.duplicate), sum(said.rejected)
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS said (slug, stored, duplicate, rejected)
LEFT JOIN accounts_tenant AS tenant USING (slug)
GROUP BY tenant.id
ON CONFLICT (minute, tenant_id, writer) DO UPDATE SET
    stored = known.stored + excluded.stored,
    duplicate = known.duplicate + excluded.duplicate,
    rejected = known.rejected + excluded.rejected
"""


class Tally(NamedTuple):
    """What became of messages, in readings: received = stored + duplicate + rejected."""

    stored: int = 0
    duplicate: int = 0
    rejected: int = 0

    @property
    def received(self) -> int:
        return self.stored + self.duplicate + self.rejected

    def plus(self, other: "Tally") -> "Tally":
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def by_tenant(
    messages: Sequence[Incoming], fresh: Rows, devices: Mapping[str, KnownDevice], stored: int
) -> dict[str, Tally]:
    """What became of the messages of each tenant, whose name is “” where a topic has none.

    `fresh` are the readings that are new to the database, `stored` how many of them it took.
    """
    tenants = {message.tenant for message in messages}
    if len(tenants) > 1:
        own, new = _grouped(messages), _new(fresh, devices)
    else:
        # Optimization: the usual case.
        own, new = dict.fromkeys(tenants, messages), dict.fromkeys(tenants, stored)
    tallies = {}
    for tenant, theirs in own.items():
        # It takes none of a batch that is repeated though it was committed.
        taken = min(new.get(tenant, 0), stored)
        stored -= taken
        tallies[tenant] = _tally(theirs, taken)
    return {tenant: tally for tenant, tally in tallies.items() if any(tally)}


def _grouped(messages: Sequence[Incoming]) -> dict[str, Sequence[Incoming]]:
    own = defaultdict(list)
    for message in messages:
        own[message.tenant].append(message)
    return dict(own)


def _tally(messages: Sequence[Incoming], stored: int) -> Tally:
    accepted = sum(len(message.readings) for message in messages)
    rejected = sum(message.rejected.readings for message in messages if message.rejected)
    return Tally(stored, accepted - stored, rejected)


def _new(fresh: Rows, devices: Mapping[str, KnownDevice]) -> dict[str, int]:
    tenants = {device.id: device.tenant for device in devices.values()}
    return Counter(tenants[device_id] for device_id, _ in fresh)


def add(tallies: Mapping[str, Tally]) -> None:
    """Count it with the transaction that is open."""
    if tallies:
        columns = zip(*tallies.values(), strict=True)
        cursor = psycopg.Cursor(connection.connection)
        cursor.execute(ADD, [list(tallies), *map(list, columns)])
