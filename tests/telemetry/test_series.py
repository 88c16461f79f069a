"""Numbers over time: steps, gaps, aggregates, and values that are no numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from telemetry.series import AGGREGATES, Steps, series, statement
from tests.cast import NOON, reading, readings
from tests.queries import plan_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def temperatures(device, *aggregates, end=NOON + 3 * MINUTE, seconds=60):
    """The aggregates of temp in minutes from NOON on; of a single one its column."""
    made = series(device, ["temp"], Steps(NOON, end, seconds), aggregates)["series"]["temp"]
    return list(made[aggregates[0]]) if len(aggregates) == 1 else made


def test_each_step_has_the_aggregates_of_its_readings(cast):
    for second, temp in enumerate([3, 1, 2.5]):
        reading(cast.device, at=NOON + timedelta(seconds=second), temp=temp)
    made = temperatures(cast.device, *AGGREGATES)
    assert {name: float(column[0]) for name, column in made.items()} == {
        "avg": pytest.approx(6.5 / 3),
        "min": 1,
        "max": 3,
        "count": 3,
        "last": 2.5,
    }


def test_gaps_stay_gaps(cast):
    for minute in (0, 2):
        reading(cast.device, at=NOON + minute * MINUTE, temp=minute)
    made = temperatures(cast.device, *AGGREGATES)
    assert {name: column[1] for name, column in made.items()} == {
        **dict.fromkeys(AGGREGATES),
        "count": 0,
    }
    assert (made["avg"][0], made["avg"][2]) == (0, 2)


def test_without_a_reading_all_steps_are_there(cast):
    made = series(cast.device, ["temp", "hum"], Steps(NOON, NOON + 3 * MINUTE, 60), ["avg"])
    assert made["ts"] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    assert made["series"] == {
        "temp": {"avg": (None, None, None)},
        "hum": {"avg": (None, None, None)},
    }


def test_from_is_in_and_to_is_out(cast):
    for second in (-1, 0, 59, 60):
        reading(cast.device, at=NOON + timedelta(seconds=second), temp=second)
    assert temperatures(cast.device, "count", end=NOON + MINUTE) == [2]


def test_the_first_and_the_last_step_are_cut_by_from_and_to(cast):
    readings(cast.device, 10)
    steps = Steps(NOON - 7 * MINUTE, NOON - MINUTE, 300)
    made = series(cast.device, ["n"], steps, ["count"])
    assert made["ts"] == [NOON - 10 * MINUTE, NOON - 5 * MINUTE]
    assert made["series"]["n"]["count"] == (2, 4)


def test_other_devices_and_other_keys_do_not_count(cast):
    reading(cast.device, hum=1)
    reading(cast.foreign, temp=1)
    assert temperatures(cast.device, "count") == [0, 0, 0]


@pytest.mark.parametrize("value", ["21.5", "warm", None, {"temp": 1}, [1], ""])
def test_what_is_no_number_is_left_out(cast, value):
    reading(cast.device, temp=value)
    made = temperatures(cast.device, *AGGREGATES)
    assert {column[0] for column in made.values()} == {None, 0}


def test_true_and_false_are_one_and_zero(cast):
    reading(cast.device, temp=True)
    reading(cast.device, at=NOON + MINUTE / 2, temp=False)
    made = temperatures(cast.device, *AGGREGATES)
    assert [float(column[0]) for column in made.values()] == [0.5, 0, 1, 2, 0]


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 5e-324])
def test_numbers_at_the_end_of_what_fits_a_double_are_aggregated(cast, value):
    for second in range(3):
        reading(cast.device, at=NOON + timedelta(seconds=second), temp=value)
    made = temperatures(cast.device, *AGGREGATES)
    assert [float(made[name][0]) for name in ("avg", "min", "max", "last")] == [value] * 4


def test_last_is_the_newest_number_even_if_something_else_came_later(cast):
    reading(cast.device, temp=1)
    reading(cast.device, at=NOON + MINUTE / 2, temp="off")
    assert temperatures(cast.device, "last")[0] == 1


def test_of_readings_of_one_moment_the_one_stored_later_is_last(cast):
    for temp in (2, 3, "off", 1, None):
        reading(cast.device, temp=temp)
    assert temperatures(cast.device, "last")[0] == 1


def test_keys_are_names_and_not_sql(cast):
    key = "it's %s {key} \\ \""
    reading(cast.device, **{key: 7})
    made = series(cast.device, [key], Steps(NOON, NOON + MINUTE, 60), ["avg", "last"])
    assert made["series"] == {key: {"avg": (7,), "last": (7,)}}


def test_steps_over_several_weeks_and_their_partitions(cast):
    readings(cast.device, 21, every=timedelta(days=1))
    week = 7 * 86_400
    made = series(cast.device, ["n"], Steps(NOON - timedelta(days=20), NOON, week), ["count"])
    assert sum(made["series"]["n"]["count"]) == 20


@pytest.mark.parametrize(
    ("seconds", "first", "count"),
    [
        (60, datetime(2026, 1, 14, 12, tzinfo=UTC), 1440),
        (7 * 60, datetime(2026, 1, 14, 11, 59, tzinfo=UTC), 206),
        (86_400, datetime(2026, 1, 14, tzinfo=UTC), 2),
        # 1970 began on a Thursday.
        (7 * 86_400, datetime(2026, 1, 8, tzinfo=UTC), 2),
    ],
)
def test_steps_begin_at_multiples_of_their_length(seconds, first, count):
    steps = Steps(NOON, NOON + timedelta(days=1), seconds)
    assert (next(iter(steps)), len(steps), len(list(steps))) == (first, count, count)
    assert (first.timestamp() % seconds, list(steps)[-1] < steps.end) == (0, True)


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        (timedelta(seconds=1), 1),
        (timedelta(minutes=8), 1),
        (timedelta(hours=1), 10),
        (timedelta(days=1), 300),
        (timedelta(days=30), 7_200),
        (timedelta(days=365), 86_400),
        (timedelta(days=3_650), 14 * 86_400),
    ],
)
def test_steps_of_a_nice_length_are_found(span, seconds):
    steps = Steps.at_most(500, NOON - span, NOON)
    assert (steps.seconds, len(steps) <= 500) == (seconds, True)


def test_the_readings_are_found_by_their_key_alone(cast):
    readings(cast.device, 10)
    values = {"device": cast.device.pk, "key_0": "n", "start": NOON - 9 * MINUTE, "end": NOON}
    values |= {"length": MINUTE, "first": NOON}
    series(cast.device, ["n"], Steps(NOON, NOON + MINUTE, 60), ["last"])
    with connection.cursor() as cursor:
        plan = plan_of(cursor.mogrify(statement(1, ["avg", "last"]), values))
    scans = {node["Node Type"] for node in plan if "Scan" in node["Node Type"]}
    assert scans <= {"Index Scan", "Index Only Scan", "Subquery Scan"}
