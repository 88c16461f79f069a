"""How many rejected messages are kept, and for how long.

Any device, and with an open broker anybody, can have as many rejected as they like, so there is a
limit to the messages of a tenant and to their bytes; messages of no tenant have one together. What
is removed for that is counted (`RejectedOverflow`), so that nothing is lost in silence.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from telemetry.ingest import KEPT_PAYLOADS

CHUNK_ROWS = 1_000
"""Each may have a megabyte, which is deleted in pieces of two kilobytes."""
MEAN_BYTES = 10 << 10
"""What the messages of a tenant may have on average, if there are as many as there may be."""
LONGEST_TOPIC = 65_535
EVER = datetime.min.replace(tzinfo=UTC)

OF_TENANT, OF_NONE = "tenant_id = %(tenant)s", "%(tenant)s::bigint IS NULL AND tenant_id IS NULL"
RESOLVED, OPEN = "resolved_at IS NOT NULL", "resolved_at IS NULL"

# One look at each row. The length of a payload that is kept apart is known without reading it.
MANY = """
SELECT tenant_id FROM telemetry_rejectedmessage WHERE received_at >= %(since)s
GROUP BY tenant_id
HAVING count(*) > %(most)s OR sum(octet_length(payload) + octet_length(topic)) > %(most_bytes)s
ORDER BY tenant_id
"""

# Those that are kept come first: open ones before those that were dealt with, newer before older.
EXCESS = """
SELECT count(*) FROM (
    SELECT row_number() OVER best AS place,
        sum(octet_length(payload) + octet_length(topic)) OVER best AS bytes
    FROM telemetry_rejectedmessage WHERE {of} AND received_at >= %(since)s
    WINDOW best AS (
        ORDER BY resolved_at IS NOT NULL, received_at DESC, id DESC ROWS UNBOUNDED PRECEDING
    )
) AS message
WHERE place > %(most)s OR bytes > %(most_bytes)s
"""

# What somebody replays at this moment is passed over.
REMOVE = """
DELETE FROM telemetry_rejectedmessage WHERE id = ANY(ARRAY(
    SELECT id FROM telemetry_rejectedmessage WHERE {which} AND received_at >= %(since)s
    ORDER BY received_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING received_at
"""
REMOVE_OLD = f"""
WITH gone AS ({REMOVE.format(which="received_at < %(before)s")})
SELECT count(*), max(received_at) FROM gone
"""
REMOVE_EXCESS = f"""
WITH gone AS ({REMOVE}),
counted AS (
    INSERT INTO telemetry_rejectedoverflow AS overflow (tenant_id, number, last_at)
    SELECT %(tenant)s::bigint, count(*), statement_timestamp() FROM gone HAVING count(*) > 0
    ON CONFLICT (tenant_id) DO UPDATE
    SET number = overflow.number + excluded.number, last_at = excluded.last_at
)
SELECT count(*), max(received_at) FROM gone
"""


class Excess(NamedTuple):
    """So many messages of a tenant, or of none, are more than are kept."""

    tenant_id: int | None
    number: int


def excesses(since: datetime) -> Iterator[Excess]:
    """Where there are too many of those received `since`, or they have too many bytes."""
    largest = KEPT_PAYLOADS * settings.MAX_PAYLOAD + LONGEST_TOPIC
    most_bytes = max(settings.REJECTED_MAX * MEAN_BYTES, largest)
    most = {"most": settings.REJECTED_MAX, "most_bytes": most_bytes}
    limits: dict[str, Any] = {"since": since, **most}
    with connection.cursor() as cursor:
        cursor.execute(MANY, limits)
        many = [tenant for (tenant,) in cursor.fetchall()]
        for tenant in many:
            cursor.execute(EXCESS.format(of=_of(tenant)), {**limits, "tenant": tenant})
            yield Excess(tenant, cursor.fetchone()[0])


def count_excess(since: datetime) -> int:
    return sum(excess.number for excess in excesses(since))


def remove_excess(since: datetime) -> Iterator[int]:
    """Remove what is too much, a chunk a transaction: the oldest of those that were dealt with
    first, then the oldest."""
    for tenant, number in list(excesses(since)):
        left = number
        for state in (RESOLVED, OPEN):
            query = REMOVE_EXCESS.format(which=f"{_of(tenant)} AND {state}")
            for removed in _chunks(query, left, since=since, tenant=tenant):
                left -= removed
                yield removed


def remove_old(before: datetime) -> Iterator[int]:
    """Remove messages received before a moment, whether or not anybody has dealt with them."""
    return _chunks(REMOVE_OLD, None, since=EVER, before=before)


def _of(tenant: int | None) -> str:
    return OF_NONE if tenant is None else OF_TENANT


def _chunks(query: str, most: int | None, *, since: datetime, **parameters: Any) -> Iterator[int]:
    """Run `query` until it finds no more, or `most`.

    Each time it starts where it ended before, or it would pass all that is dead already.
    """
    start: datetime | None = since
    while start and most != 0:
        limit = CHUNK_ROWS if most is None else min(CHUNK_ROWS, most)
        with connection.cursor() as cursor:
            cursor.execute(query, {**parameters, "since": start, "limit": limit})
            removed, start = cursor.fetchone()
        most = None if most is None else most - removed
        yield removed
