"""Series over the API: what may be asked for, and the form of the answer."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.cast import NOON, api, reading, readings

SERIES = "/telemetry/dev-01/series"
HOUR = {"from": "2026-01-14T11:00:00Z", "to": "2026-01-14T12:00:00Z"}


def series_of(cast, **parameters):
    answer = api(cast.viewer).get(SERIES, {"keys": "n", **HOUR, **parameters})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def error_of(cast, **parameters):
    """The field that is at fault, and what is wrong with it."""
    answer = api(cast.viewer).get(SERIES, {"keys": "n", **HOUR, **parameters})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    return error["field"], error["detail"]


def test_columns_of_aggregates_stand_beside_the_steps(cast):
    for minute, n in ((10, 1), (11, 2.5), (50, 7)):
        reading(cast.device, at=NOON - timedelta(minutes=60 - minute), n=n, on=True)
    assert series_of(cast, keys="n,on", interval="20m", agg="avg,count,last") == {
        "device_uid": "dev-01",
        "from": "2026-01-14T11:00:00+00:00",
        "to": "2026-01-14T12:00:00+00:00",
        "interval": 1200,
        "ts": [f"2026-01-14T11:{minute}:00+00:00" for minute in ("00", "20", "40")],
        "series": {
            "n": {"avg": [1.75, None, 7], "count": [2, 0, 1], "last": [2.5, None, 7]},
            "on": {"avg": [1, None, 1], "count": [2, 0, 1], "last": [1, None, 1]},
        },
    }


def test_the_average_of_the_last_day_is_what_is_shown_unasked(cast):
    at = timezone.now() - timedelta(hours=23)
    reading(cast.device, at=at, n=1)
    reading(cast.device, at=at - timedelta(hours=2), n=2)
    made = api(cast.viewer).get(SERIES, {"keys": "n"}).json()
    values = [value for value in made["series"]["n"]["avg"] if value is not None]
    assert (values, made["interval"], len(made["ts"])) == ([1], 300, 289)


def test_with_an_end_alone_it_is_the_day_before_it(cast):
    made = api(cast.viewer).get(SERIES, {"keys": "n", "to": "2026-01-14T12:00:00Z"}).json()
    assert made["from"] == "2026-01-13T12:00:00+00:00"


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86400), ("2w", 1209600)],
)
def test_an_interval_is_a_number_and_a_unit(cast, interval, seconds):
    assert series_of(cast, interval=interval)["interval"] == seconds


@pytest.mark.parametrize("interval", ["", "5", "0s", "-5m", "5 m", "1y", "1.5h", "٣m", "1234567s"])
def test_another_interval_is_refused(cast, interval):
    assert error_of(cast, interval=interval)[0] == "interval"


def test_too_many_points_are_refused_with_an_interval_that_does(cast):
    day = {"from": "2026-01-13T12:00:00Z"}
    assert error_of(cast, interval="1s", **day) == (
        "interval",
        "This would be 86,400 points of at most 10,000. Use 10s or longer, a shorter time, or "
        "fewer keys.",
    )
    assert len(series_of(cast, interval="10s", **day)["ts"]) == 8640


def test_each_key_has_points_of_its_own(cast):
    assert len(series_of(cast, keys="n,on", interval="1s")["ts"]) == 3600
    assert "10,800 points" in error_of(cast, keys="n,on,off", interval="1s")[1]


@pytest.mark.parametrize("agg", ["", "median", "avg,", "avg;min"])
def test_other_aggregates_are_refused(cast, agg):
    assert error_of(cast, agg=agg)[0] == "agg"


def test_twenty_keys_are_the_most(cast):
    keys = [f"k{number}" for number in range(21)]
    assert len(series_of(cast, keys=",".join(keys[:20]))["series"]) == 20
    assert error_of(cast, keys=",".join(keys)) == (
        "keys",
        "Give 1 to 20 keys, separated by commas.",
    )


def test_keys_have_to_be_named(cast):
    answer = api(cast.viewer).get(SERIES)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "keys")


@pytest.mark.parametrize(
    ("field", "moment"),
    [
        ("from", "yesterday"),
        ("from", "2026-01-14T11:00:00+16:00"),
        ("from", "0001-01-01T00:00:00Z"),
        ("from", "1969-12-31T23:59:59Z"),
        ("to", "0001-01-01T00:00:00Z"),
        ("to", "2026-01-14T11:00:00Z"),
        ("to", "9999-12-31T23:59:59-15:59"),
        ("to", "2026-02-30T00:00:00Z"),
    ],
)
def test_a_time_that_cannot_be_is_refused(cast, field, moment):
    assert error_of(cast, **{field: moment})[0] == field


def test_where_only_a_time_ahead_is_given_it_is_that_one_which_is_refused(cast):
    answer = api(cast.viewer).get(SERIES, {"keys": "n", "from": "2999-01-01T00:00:00Z"})
    (error,) = answer.json()["errors"]
    assert (error["field"], "earlier than now" in error["detail"]) == ("from", True)


def test_the_longest_time_there_is_has_an_answer(cast):
    readings(cast.device, 3)
    made = series_of(cast, agg="count", **{"from": "1970-01-01T00:00:00Z", "to": "9999-12-31"})
    assert sum(made["series"]["n"]["count"]) == 3
    assert len(made["ts"]) <= 500
