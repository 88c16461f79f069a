"""The two derived facts: what a device said of its connection, and whether it sends."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from devices.facts import DataFlow
from devices.models import Device, DeviceType
from tests import cast as people
from tests.cast import NOON, api
from tests.queries import plan_of, queries_of

DEV_02 = "/devices/dev-02"
FACTS = ("data_flow", "data_flow_since", "data_flow_reason")


@pytest.fixture
def sensor(db):
    return DeviceType.objects.create(name="sensor", offline_after=300)


def device_that_sent(cast, ago, type_=None, uid="dev-02", **state):
    """A device whose last reading came so many seconds ago, the first of them at NOON."""
    at = timezone.now() - timedelta(seconds=ago)
    made = people.device(uid, cast.t0, data_at=at, data_since=NOON, **state)
    Device.objects.filter(pk=made.pk).update(type=type_)
    return made


def devices(app, **query):
    return app.get("/devices", query).json()


def facts(cast):
    return tuple(api(cast.viewer).get(DEV_02).json()[name] for name in FACTS)


def test_readings_that_come_in_time_flow_since_the_first_of_them(cast, sensor):
    device_that_sent(cast, 290, sensor)
    said = "Readings come without a pause of more than 300 s."
    assert facts(cast) == ("flowing", "2026-01-14T12:00:00+00:00", said)


def test_a_device_is_silent_from_the_moment_at_which_its_time_was_up(cast, sensor):
    made = device_that_sent(cast, 310, sensor)
    flow, since, reason = facts(cast)
    assert (flow, reason) == ("silent", "No reading for more than 300 s.")
    assert since == (made.state.data_at + timedelta(seconds=300)).isoformat()


@pytest.mark.parametrize(
    ("offline_after", "reason"),
    [
        ("no type", "It has no type that says how long it may be silent."),
        (None, "Its type has no offline_after: how long it may be silent."),
    ],
)
def test_nobody_knows_whether_a_device_is_silent_that_may_be_silent_for_ever(
    cast, sensor, offline_after, reason
):
    DeviceType.objects.update(offline_after=None)
    device_that_sent(cast, 10**6, None if offline_after == "no type" else sensor)
    assert facts(cast) == ("unknown", None, reason)


@pytest.mark.parametrize("state", [{}, {"last_seen_at": NOON, "session": "online"}])
def test_a_device_that_has_never_sent_a_reading_is_not_silent_but_unknown(cast, sensor, state):
    made = people.device("dev-02", cast.t0, **state)
    Device.objects.filter(pk=made.pk).update(type=sensor)
    assert facts(cast) == ("unknown", None, "It has never sent a reading.")


def test_a_longer_patience_makes_a_silent_device_flow(cast, sensor):
    device_that_sent(cast, 310, sensor)
    api(cast.staff).patch(f"/device-types/{sensor.pk}", {"offline_after": 600})
    assert facts(cast)[0] == "flowing"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, ("unknown", "It has said nothing of its connection.")),
        ({"last_seen_at": NOON}, ("unknown", "It has said nothing of its connection.")),
        ({"session": "online"}, ("online", "It said so itself.")),
        ({"session": "offline", "reason": "sleep"}, ("offline", "sleep")),
        ({"session": "unknown", "reason": "lost"}, ("unknown", "lost")),
    ],
)
def test_a_session_has_its_reason(cast, state, said):
    people.device("dev-02", cast.t0, **state)
    device = api(cast.viewer).get(DEV_02).json()
    assert (device["session"], device["session_reason"]) == said


def test_a_device_may_be_online_and_silent_or_offline_and_flow(cast, sensor):
    device_that_sent(cast, 310, sensor, session="online")
    device_that_sent(cast, 10, sensor, uid="dev-03", session="offline")
    app = api(cast.viewer)
    shown = {each["device_uid"]: (each["session"], each["data_flow"]) for each in devices(app)}
    assert shown["dev-02"] == ("online", "silent")
    assert shown["dev-03"] == ("offline", "flowing")


@pytest.mark.parametrize("flow", DataFlow.values)
def test_devices_are_found_by_their_flow_of_data(cast, sensor, flow):
    device_that_sent(cast, 310, sensor)
    device_that_sent(cast, 10, sensor, uid="dev-03")
    device_that_sent(cast, 310, uid="dev-04")
    everyone = devices(api(cast.viewer))
    wanted = [each for each in everyone if each["data_flow"] == flow]
    assert wanted
    found = devices(api(cast.viewer), data_flow=flow)
    assert [each["device_uid"] for each in found] == [each["device_uid"] for each in wanted]


def test_another_flow_is_refused_with_the_possible_ones(cast):
    answer = api(cast.viewer).get("/devices?data_flow=offline")
    assert answer.json()["errors"][0]["detail"] == "Use flowing, silent or unknown."


@pytest.mark.parametrize("name", ["session_reason", *FACTS])
def test_nobody_sets_a_fact(cast, name):
    errors = api(cast.admin).patch("/devices/dev-01", {name: "flowing"}).json()["errors"]
    assert [error["code"] for error in errors] == ["read_only"]


STATES = """
INSERT INTO devices_devicestate (device_id, latest, session, session_id, reason)
SELECT id, '{}', 'unknown', '', '' FROM devices_device;
ANALYZE devices_device, devices_devicestate
"""


def test_silent_devices_of_a_small_tenant_are_found_without_reading_all_of_the_large_one(cast):
    Device.objects.bulk_create(
        Device(device_uid=f"other-{n}", tenant=cast.other) for n in range(3_000)
    )
    connection.cursor().execute(STATES)
    statement = queries_of(api(cast.viewer), "/devices", data_flow="silent")[-1]
    scans = [node for node in plan_of(statement) if node["Node Type"] == "Seq Scan"]
    tables = {scan["Relation Name"] for scan in scans}
    assert not tables & {"devices_device", "devices_devicestate"}
