"""What became of the messages that came, counted in the transactions that store them.

So the counters hold exactly what holds of the readings and rejected messages: a batch that was
undone counts nothing, and received = stored + duplicate + rejected in every row. What comes twice
is counted twice: a message that the broker sends again, and a batch that is repeated because the
answer to its COMMIT got lost, of which the second time all is duplicate. What is replayed is not
counted: it was, as rejected, when it came.
"""

from collections import Counter
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
    accepted: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for message in messages:
        if message.rejected:
            rejected[message.tenant] += message.rejected.readings
        elif message.readings:
            accepted[message.tenant] += len(message.readings)
    new = _new(fresh, devices) if len(accepted) > 1 else dict.fromkeys(accepted, stored)
    tallies = {}
    for tenant in accepted.keys() | rejected.keys():
        # It takes none of a batch that is repeated though it was committed.
        taken = min(new.get(tenant, 0), stored)
        stored -= taken
        tallies[tenant] = Tally(taken, accepted[tenant] - taken, rejected[tenant])
    return tallies


def _new(fresh: Rows, devices: Mapping[str, KnownDevice]) -> Mapping[str, int]:
    tenants = {device.id: device.tenant for device in devices.values()}
    return Counter(tenants[device_id] for device_id, _ in fresh)


def add(tallies: Mapping[str, Tally]) -> None:
    """Count it with the transaction that is open."""
    if tallies:
        columns = zip(*tallies.values(), strict=True)
        cursor = psycopg.Cursor(connection.connection)
        cursor.execute(ADD, [list(tallies), *map(list, columns)])
