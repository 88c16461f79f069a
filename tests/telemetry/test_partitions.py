"""Weekly partitions: made when needed, dropped when old, never in the way."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from telemetry import partitions
from telemetry.models import Telemetry

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TUESDAY_S_WEEK = date(2026, 11, 23)


@pytest.fixture
def _no_partitions(transactional_db):
    def drop_all():
        for week in partitions.existing():
            connection.cursor().execute(f"DROP TABLE {partitions.name_of(week)}")

    drop_all()
    yield
    drop_all()


@pytest.mark.parametrize(
    ("moment", "week"),
    [
        (datetime(2026, 11, 23, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 11, 29, 23, 59, tzinfo=UTC), date(2026, 11, 23)),
        (datetime.fromisoformat("2026-11-23T00:30+01:00"), date(2026, 11, 16)),
    ],
)
def test_a_week_starts_on_monday_in_utc(moment, week):
    assert partitions.week_of(moment) == week


@pytest.mark.usefixtures("_no_partitions")
def test_last_week_to_eight_days_ahead_are_made_once():
    made = partitions.make_ahead(NOW)
    assert made == [TUESDAY_S_WEEK + timedelta(weeks=n) for n in (-1, 0, 1)]
    assert partitions.existing() == made
    assert partitions.make_ahead(NOW) == []


@pytest.mark.usefixtures("_no_partitions")
def test_a_partition_holds_its_week_and_nothing_else():
    partitions.make([TUESDAY_S_WEEK])
    insert = (
        "INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload) "
        "VALUES (1, %s, 'a', now(), '{}') RETURNING id, tableoid::regclass::text"
    )
    with connection.cursor() as cursor:
        cursor.execute(insert, [NOW])
        number, table = cursor.fetchone()
    assert (number > 0, table) == (True, "telemetry_telemetry_20261123")


@pytest.mark.usefixtures("_no_partitions")
def test_a_partition_has_the_key_of_the_table():
    partitions.make([TUESDAY_S_WEEK])
    query = (
        "SELECT * FROM telemetry_telemetry WHERE device_id = 1 AND ts > '2026-11-24' "
        "ORDER BY ts DESC, id DESC LIMIT 100"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan Backward using telemetry_telemetry_20261123_pkey" in plan
    assert "Sort" not in plan


@pytest.mark.usefixtures("_no_partitions")
def test_only_weeks_that_are_wholly_old_have_ended():
    partitions.make_ahead(NOW)
    assert partitions.ended_before(NOW) == [date(2026, 11, 16)]
    assert partitions.ended_before(NOW - timedelta(days=2)) == []


@pytest.mark.usefixtures("_no_partitions")
def test_dropping_leaves_the_other_weeks():
    partitions.make_ahead(NOW)
    partitions.drop(date(2026, 11, 16))
    assert partitions.existing() == [date(2026, 11, 23), date(2026, 11, 30)]


@pytest.mark.usefixtures("_no_partitions")
def test_a_drop_that_was_interrupted_goes_on():
    partitions.make_ahead(NOW)
    detach = "ALTER TABLE telemetry_telemetry DETACH PARTITION telemetry_telemetry_20261116"
    connection.cursor().execute(f"{detach} CONCURRENTLY")
    assert partitions.ended_before(NOW) == [date(2026, 11, 16)]
    partitions.drop(date(2026, 11, 16))
    assert partitions.ended_before(NOW) == []


@pytest.mark.usefixtures("_no_partitions")
def test_a_week_that_was_detached_by_hand_comes_back_with_its_readings():
    partitions.make_ahead(NOW)
    connection.cursor().execute(
        "INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload) "
        "VALUES (1, %s, 'a', now(), '{}')",
        [NOW],
    )
    detach = "ALTER TABLE telemetry_telemetry DETACH PARTITION telemetry_telemetry_20261123"
    connection.cursor().execute(detach)
    assert partitions.make([TUESDAY_S_WEEK]) == [TUESDAY_S_WEEK]
    assert Telemetry.objects.count() == 1
