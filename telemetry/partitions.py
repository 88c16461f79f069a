"""The weekly partitions of the telemetry table: made ahead, made on demand, dropped when old."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

TABLE = "telemetry_telemetry"
AHEAD = timedelta(days=8)
WEEK = timedelta(days=7)
NAME = re.compile(rf"{TABLE}_(\d{{4}})(\d\d)(\d\d)\Z")
# Any number will do, as long as nobody else in this database uses it for something else.
LOCK = 7_306_001


def week_of(moment: datetime) -> date:
    """The Monday (UTC) of the week that `moment` lies in."""
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def name_of(week: date) -> str:
    return f"{TABLE}_{week:%Y%m%d}"


def existing() -> list[date]:
    """The weeks that have a partition, oldest first."""
    return _weeks(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = %s::regclass AND NOT inhdetachpending"
    )


def _weeks(query: str) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(query, [TABLE])
        found = [NAME.match(name) for (name,) in cursor.fetchall()]
    return sorted(date(*map(int, match.groups())) for match in found if match)


def make(weeks: Iterable[date]) -> list[date]:
    """Make the missing ones of `weeks`, in a transaction of their own; returns those made."""
    missing = sorted(set(weeks) - set(existing()))
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        # Another process may have made them while we waited.
        missing = [week for week in missing if week not in existing()]
        for week in missing:
            _make(cursor, week)
    return missing


def _make(cursor: "connection.cursor", week: date) -> None:  # type: ignore[name-defined]
    # Made apart and then attached: attaching does not block inserts, PARTITION OF would. One that
    # somebody detached comes back, as readings of its week do.
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {name_of(week)} (LIKE {TABLE} INCLUDING DEFAULTS)")
    cursor.execute(
        f"ALTER TABLE {TABLE} ATTACH PARTITION {name_of(week)} FOR VALUES FROM (%s) TO (%s)",
        [f"{week}T00:00Z", f"{week + WEEK}T00:00Z"],
    )


def make_ahead(now: datetime) -> list[date]:
    """Make what readings of these days, and of devices whose clock is ahead, will need."""
    return make(missing_ahead(now))


def missing_ahead(now: datetime) -> list[date]:
    """The weeks from the last one to the one eight days ahead that have no partition."""
    weeks, week = set(), week_of(now - WEEK)
    while week <= week_of(now + AHEAD):
        weeks.add(week)
        week += WEEK
    return sorted(weeks - set(existing()))


def ended_before(moment: datetime) -> list[date]:
    """The weeks with a table, attached or not, that hold nothing newer than `moment`."""
    weeks = _weeks(
        "SELECT relname FROM pg_class WHERE relname LIKE %s || '_%%' AND relkind = 'r' "
        "AND relnamespace = current_schema()::regnamespace"
    )
    return [week for week in weeks if week_of(moment) >= week + WEEK]


def drop(week: date) -> None:
    """Drop the table of `week`, readings and all, without stopping ingest.

    Detached first: a plain DROP waits for every reader and holds up every writer meanwhile. Cannot
    run inside a transaction. Goes on where an interrupted one ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s::regclass",
            [name_of(week)],
        )
        attached = cursor.fetchone()
        if attached:
            how = "FINALIZE" if attached[0] else "CONCURRENTLY"
            cursor.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {name_of(week)} {how}")
        cursor.execute(f"DROP TABLE {name_of(week)}")
