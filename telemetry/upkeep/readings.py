"""How long readings are kept: whole weeks for as long as the platform keeps them, less of a device
whose type or tenant says so. Where both do, the fewer days hold: a tenant's admin may give a device
any type, but what is said of the tenant is for staff to say."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from telemetry import partitions

CHUNK_ROWS = 10_000
DEVICES, FEW = 200, 50
CHUNK_BLOCKS = 1_000


def make_ahead(now: datetime) -> Iterator[int]:
    """Make the weeks ahead, each by itself: what lies in the way of one is in no other's way."""
    for week in partitions.missing_ahead(now):
        yield len(partitions.make([week]))


def drop_weeks_before(moment: datetime) -> Iterator[int]:
    """Drop the partitions that hold nothing newer than `moment`."""
    for week in partitions.ended_before(moment):
        partitions.drop(week)
        yield 1


class Outlived(NamedTuple):
    """The readings of one device in one week that are older than they are to be kept."""

    table: str
    device_id: int
    before: datetime


# Only the oldest reading is looked at, which is the first that the index has of the device. Asked
# whether there is any that old, the planner expects to find one at once, and reads the whole week
# for every device that has none.
OUTLIVED = """
SELECT device.id, kept.since
FROM devices_device AS device JOIN accounts_tenant AS tenant ON tenant.id = device.tenant_id
LEFT JOIN devices_devicetype AS type ON type.id = device.type_id
CROSS JOIN LATERAL (
    SELECT least(type.retention_days, tenant.retention_days) AS days
) AS retention
CROSS JOIN LATERAL (SELECT %(now)s - days * interval '1 day' AS since) AS kept
CROSS JOIN LATERAL (
    SELECT ts FROM {table} WHERE device_id = device.id ORDER BY ts LIMIT 1
) AS oldest
WHERE days < %(history)s AND %(week)s < kept.since AND oldest.ts < kept.since
ORDER BY device.id
"""

COUNT = """
SELECT count(*) FROM unnest(%s::bigint[], %s::timestamptz[]) AS old (device_id, before)
JOIN {table} AS reading ON reading.device_id = old.device_id AND reading.ts < old.before
"""

DELETE_FEW = """
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT reading.ctid FROM unnest(%s::bigint[], %s::timestamptz[]) AS old (device_id, before)
        CROSS JOIN LATERAL (
            SELECT ctid FROM {table} WHERE device_id = old.device_id AND ts < old.before
            ORDER BY ts LIMIT %s
        ) AS reading
    ))
    RETURNING device_id
)
SELECT device_id, count(*) FROM gone GROUP BY device_id
"""


def outlived(now: datetime, dropped: datetime) -> Iterator[Outlived]:
    """What types and tenants keep no longer, week by week; not in weeks that end by `dropped`,
    which go as a whole."""
    gone = partitions.ended_before(dropped)
    for week in partitions.existing():
        if week not in gone:
            yield from _outlived_in(week, now)


def _outlived_in(week: date, now: datetime) -> list[Outlived]:
    table = partitions.name_of(week)
    parameters = {"now": now, "history": settings.HISTORY_DAYS, "week": week}
    with connection.cursor() as cursor:
        cursor.execute(OUTLIVED.format(table=table), parameters)
        return [Outlived(table, *row) for row in cursor.fetchall()]


def count_outlived(now: datetime, dropped: datetime) -> int:
    """How many readings that is. Optimization: one statement a week, not one a device."""
    number = 0
    for table, group in groupby(outlived(now, dropped), key=attrgetter("table")):
        _, devices, befores = zip(*group, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(COUNT.format(table=table), [list(devices), list(befores)])
            number += cursor.fetchone()[0]
    return number


def delete_outlived(now: datetime, dropped: datetime) -> Iterator[int]:
    """Delete what types and tenants keep no longer, some rows a transaction.

    Optimization: most devices have a few of a day, so those of many go at once; one that has more
    has a statement of its own. A transaction for each device would wait for the disk each time.
    """
    for table, group in groupby(outlived(now, dropped), key=attrgetter("table")):
        readings = list(group)
        for first in range(0, len(readings), DEVICES):
            some = readings[first : first + DEVICES]
            deleted, with_more = _delete_few(table, some)
            yield deleted
            for each in some:
                if each.device_id in with_more:
                    yield from _delete_all(each)


def _delete_few(table: str, readings: list[Outlived]) -> tuple[int, set[int]]:
    """Delete FEW of each device; how many that were, and the devices that may have more."""
    devices, befores = [each.device_id for each in readings], [each.before for each in readings]
    with connection.cursor() as cursor:
        cursor.execute(DELETE_FEW.format(table=table), [devices, befores, FEW])
        numbers = dict(cursor.fetchall())
    return sum(numbers.values()), {device for device, number in numbers.items() if number == FEW}


def _delete_all(readings: Outlived) -> Iterator[int]:
    """Each chunk starts where the one before ended, or it would pass all that is dead already."""
    table, device_id, before = readings
    query = (
        f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM {table} WHERE device_id = %s AND ts >= %s AND ts < %s "
        f"ORDER BY ts LIMIT {CHUNK_ROWS})) RETURNING ts) SELECT count(*), max(ts) FROM gone"
    )
    start: datetime | None = datetime.min.replace(tzinfo=UTC)
    while start:
        with connection.cursor() as cursor:
            cursor.execute(query, [device_id, start, before])
            deleted, start = cursor.fetchone()
        yield deleted


def prune_receipts(before: datetime) -> Iterator[int]:
    """Delete old receipts, some blocks of the table a transaction.

    By blocks, as each is then read once; looking for the next thousand rows by age would pass all
    the dead ones of the chunks before, every time.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('telemetry_receipt') / 8192")
        (blocks,) = cursor.fetchone()
        for start in range(0, blocks, CHUNK_BLOCKS):
            cursor.execute(
                "DELETE FROM telemetry_receipt "
                "WHERE ctid >= %s::tid AND ctid < %s::tid AND received_at < %s",
                [f"({start},0)", f"({start + CHUNK_BLOCKS},0)", before],
            )
            yield cursor.rowcount
