"""Room for what comes: how large the database is, how fast it grows, and what is left."""

import math
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from iotplatform.doctor import database
from iotplatform.doctor.finding import Finding, ok, problem, warning
from telemetry import partitions

GIB = 2**30
LOW, LOW_PART = 5 * GIB, 0.1
OUT, OUT_PART = GIB, 0.02
SHORT_DAYS, SHORTEST_DAYS = 30, 7
ROOM = "Make room, or keep less: HISTORY_DAYS, and retention of device types and tenants."

# What only some may ask for is null for others.
SIZES = """
SELECT pg_database_size(current_database()),
    (SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)
    FROM unnest(%s::text[]) AS name),
    CASE WHEN has_function_privilege('pg_ls_waldir()', 'execute')
        THEN (SELECT sum(size) FROM pg_ls_waldir()) END,
    (SELECT sum(setting::bigint) * 1048576 FROM pg_settings
    WHERE name IN ('max_wal_size', 'wal_keep_size')),
    (SELECT min(slot_name) FROM pg_replication_slots WHERE NOT active),
    (SELECT setting FROM pg_settings WHERE name = 'data_directory')
"""


def growth() -> Iterator[Finding]:
    """Of the database, and for how long there is room, if it is on this machine."""
    now = timezone.now()
    with connection.cursor() as cursor:
        last_week = partitions.name_of(partitions.week_of(now - timedelta(days=7)))
        cursor.execute(SIZES, [[last_week]])
        size, of_week, wal, most, slot, directory = cursor.fetchone()
    said = f"The database has {told(size)}; readings of last week take {told(of_week)}."
    if directory and database.is_local() and Path(directory).is_dir():
        total, _, free = shutil.disk_usage(directory)
        yield room(said, total, free, int(of_week))
    else:
        yield ok("database size", said)
    yield write_ahead_log(wal, int(most), slot)


def room(said: str, total: int, free: int, of_week: int) -> Finding:
    """Whether the database can go on for as long as it takes to do something about it."""
    said += f" {told(free)} are free."
    days = 7 * free / of_week if of_week else math.inf
    if days < SHORT_DAYS:
        said += f" That is enough for {days:.0f} days."
    if is_out(total, free) or days < SHORTEST_DAYS:
        return problem("database size", said, ROOM)
    if is_low(total, free) or days < SHORT_DAYS:
        return warning("database size", said, ROOM)
    return ok("database size", said)


def write_ahead_log(size: int | None, most: int, slot: str | None) -> Finding:
    """It is kept for as long as somebody might need it, who may be gone."""
    if size is None:
        said = "Its size is for members of pg_monitor to see."
        return ok("write-ahead log", said)
    said = f"It has {told(int(size))}"
    if slot:
        advice = f"If nobody needs it any more: SELECT pg_drop_replication_slot('{slot}');"
        return warning("write-ahead log", f"{said}, kept for the idle slot “{slot}”.", advice)
    if size > 2 * most:
        advice = "See pg_stat_archiver and pg_replication_slots: something does not fetch it."
        return warning("write-ahead log", f"{said}, though {told(most)} are configured.", advice)
    return ok("write-ahead log", f"{said}.")


def here() -> Iterator[Finding]:
    """The disk that the platform itself works on."""
    place = next(
        path for path in (settings.LOCAL_DIR, *settings.LOCAL_DIR.parents) if path.is_dir()
    )
    total, _, free = shutil.disk_usage(place)
    said = f"{told(free)} of {told(total)} are free at {place}."
    if is_out(total, free):
        yield problem("disk", said, "Make room now: docker system df; journalctl --disk-usage")
    elif is_low(total, free):
        yield warning("disk", said, "Make room: docker system df; journalctl --disk-usage")
    else:
        yield ok("disk", said)


def is_low(total: int, free: int) -> bool:
    return free < min(LOW, LOW_PART * total)


def is_out(total: int, free: int) -> bool:
    return free < min(OUT, OUT_PART * total)


def told(size: float) -> str:
    return str(filesizeformat(size)).replace("\xa0", " ")
