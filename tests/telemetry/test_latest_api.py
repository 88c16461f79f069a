"""What a device sends at present, over the API: the newest values and the keys."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device
from tests import cast as people
from tests.cast import NOON, api

LATEST = "/telemetry/dev-02/latest"
KEYS = "/telemetry/dev-02/keys"
NOON_MS = NOON.timestamp() * 1000
VALUES = {
    "temp": [21.5, NOON_MS],
    "door": [None, NOON_MS - 1000],
    "Mode": ["auto", NOON_MS],
    "gps": [{"lat": 21}, NOON_MS],
    "on": [True, 0],
}


@pytest.fixture
def dev(cast):
    return people.device("dev-02", cast.t0, latest=VALUES)


@pytest.mark.usefixtures("dev")
def test_each_key_has_its_newest_value_and_the_time_of_it(cast):
    answer = api(cast.viewer).get(LATEST)
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {
        "temp": {"value": 21.5, "ts": "2026-01-14T12:00:00+00:00"},
        "door": {"value": None, "ts": "2026-01-14T11:59:59+00:00"},
        "Mode": {"value": "auto", "ts": "2026-01-14T12:00:00+00:00"},
        "gps": {"value": {"lat": 21}, "ts": "2026-01-14T12:00:00+00:00"},
        "on": {"value": True, "ts": "1970-01-01T00:00:00+00:00"},
    }


@pytest.mark.usefixtures("dev")
def test_only_the_keys_that_are_wanted(cast):
    answer = api(cast.viewer).get(LATEST, {"keys": "temp,none,door"})
    assert sorted(answer.json()) == ["door", "temp"]


@pytest.mark.usefixtures("dev")
def test_the_keys_come_in_order_with_their_types(cast):
    types = {each["key"]: each["type"] for each in api(cast.viewer).get(KEYS).json()}
    assert list(types.items()) == [
        ("Mode", "string"),
        ("door", "null"),
        ("gps", "object"),
        ("on", "boolean"),
        ("temp", "number"),
    ]


@pytest.mark.usefixtures("dev")
def test_a_key_has_the_time_of_its_newest_value(cast):
    times = {each["key"]: each["ts"] for each in api(cast.viewer).get(KEYS).json()}
    assert times["door"] == "2026-01-14T11:59:59+00:00"


@pytest.mark.parametrize(("end", "nothing"), [("latest", {}), ("keys", [])])
def test_a_device_that_was_never_heard_sends_nothing(cast, end, nothing):
    assert api(cast.viewer).get(f"/telemetry/dev-01/{end}").json() == nothing


@pytest.mark.usefixtures("dev")
@pytest.mark.parametrize("url", [LATEST, f"{LATEST}/?keys=temp", KEYS])
def test_one_statement_is_enough_beside_that_for_the_person(cast, url):
    app = api(cast.viewer)
    with CaptureQueriesContext(connection) as captured:
        assert app.get(url).status_code == 200
    assert len([query for query in captured if "accounts_user" not in query["sql"]]) == 1


@pytest.mark.parametrize("end", ["latest", "keys", "series?keys=n", "export"])
def test_a_device_of_others_is_not_found(cast, end):
    url = f"/telemetry/foreign-01/{end}"
    answer = api(cast.admin).get(url)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "There is no such device, or you may not see it."
    assert answer.json() == api(cast.admin).get(f"/telemetry/none/{end}").json()
    assert api(cast.staff).get(url).status_code == 200


@pytest.mark.parametrize("end", ["latest", "keys", "series?keys=n", "export"])
def test_a_deleted_device_is_not_found(cast, end):
    Device.objects.filter(pk=cast.device.pk).retire()
    assert api(cast.staff).get(f"/telemetry/dev-01/{end}").status_code == 404


@pytest.mark.parametrize("end", ["latest", "keys", "series?keys=n", "export"])
def test_without_a_token_nothing_is_told(cast, end):
    assert api(None).get(f"/telemetry/dev-01/{end}").status_code == 401


@pytest.mark.parametrize("end", ["latest", "keys", "series", "export"])
def test_a_parameter_with_a_typing_error_is_refused(cast, end):
    answer = api(cast.viewer).get(f"/telemetry/dev-01/{end}?keyz=temp")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "keyz")


@pytest.mark.parametrize("end", ["latest", "series", "export"])
def test_a_key_with_nul_is_refused(cast, end):
    answer = api(cast.viewer).get(f"/telemetry/dev-01/{end}?keys=te%00mp")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "keys")
