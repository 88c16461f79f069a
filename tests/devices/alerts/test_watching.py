"""What raises an alert and what clears it: states of devices against rules."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from devices.alerts import watching
from devices.models import (
    Alert,
    AlertNotice,
    AlertRule,
    AlertWatch,
    Device,
    DeviceState,
    DeviceType,
    Heartbeat,
)
from tests import cast as people
from tests.devices.alerts.fleet import ago, listening, look, rule, state, unchanged

SILENT = {"session": "online", "since": 500, "data_at": 11}
OFFLINE = {"session": "offline", "since": 11, "last_seen_at": 11, "data_at": 1}
BOTH = {"session": "offline", "since": 11, "data_at": 12}
FINE = {"session": "online", "since": 500, "data_at": 9}
SHORTLY = {"session": "offline", "since": 9, "data_at": 9}
UNKNOWN = {"session": "unknown", "since": 500, "data_at": 1}
MUTE = {"session": "online", "since": 500}


@pytest.fixture
def cast(cast):
    listening()
    return cast


def raised(rules: AlertRule) -> list[tuple[str, str]]:
    return [(str(alert.device), alert.condition) for alert in rules.alerts.open()]


@pytest.mark.parametrize(
    ("known", "by_rule"),
    [
        (SILENT, {"silent": "silent", "offline": None, "either": "silent"}),
        (OFFLINE, {"silent": None, "offline": "offline", "either": "offline"}),
        (BOTH, {"silent": "silent", "offline": "offline", "either": "offline"}),
        (FINE, {"silent": None, "offline": None, "either": None}),
        (SHORTLY, {"silent": None, "offline": None, "either": None}),
        (UNKNOWN, {"silent": None, "offline": None, "either": None}),
        (MUTE, {"silent": None, "offline": None, "either": None}),
        ({}, {"silent": None, "offline": None, "either": None}),
    ],
    ids=["silent", "offline", "both", "fine", "shortly", "unknown", "never sent", "never heard"],
)
def test_a_state_raises_what_each_rule_asks_for(cast, known, by_rule):
    if known:
        state(cast.device, **known)
    rules = {condition: rule(cast.t0, condition) for condition in by_rule}
    look()
    found = {name: [condition for _, condition in raised(it)] for name, it in rules.items()}
    assert found == {name: [it] if it else [] for name, it in by_rule.items()}


def test_the_alert_says_since_when(cast):
    state(cast.device, **SILENT)
    mine = rule(cast.t0)
    look()
    assert mine.alerts.get().since == cast.device.state.data_at
    state(cast.device, **OFFLINE)
    look()
    cast.device.state.refresh_from_db()
    alert = mine.alerts.get()
    assert (alert.condition, alert.since) == ("offline", cast.device.state.since)


def test_a_device_that_is_back_is_told_once(cast):
    state(cast.device, **OFFLINE)
    mine = rule(cast.t0)
    look()
    state(cast.device, session="online", since=0, last_seen_at=0)
    assert [look().cleared, look().cleared] == [1, 0]
    assert mine.alerts.get().end == "over"
    assert [notice.kind for notice in mine.notices.order_by("at")] == ["raised", "cleared"]


def test_that_the_session_is_not_known_any_more_clears_nothing_but_a_message_does(cast):
    state(cast.device, **OFFLINE)
    rule(cast.t0, "offline")
    look()
    state(cast.device, session="unknown", since=0, data_at=11, last_seen_at=12)
    assert look().cleared == 0
    state(cast.device, last_seen_at=0)
    assert look().cleared == 1


def test_a_device_that_flaps_within_the_minutes_raises_nothing(cast):
    mine = rule(cast.t0)
    for known in (SHORTLY, FINE, SHORTLY):
        state(cast.device, **known)
        look()
    assert not mine.alerts.exists()
    assert not mine.notices.exists()


def test_of_either_the_alert_stays_until_both_are_over(cast):
    state(cast.device, **BOTH)
    mine = rule(cast.t0)
    look()
    state(cast.device, session="online", since=0, last_seen_at=0)
    assert look().cleared == 0
    assert raised(mine) == [("dev-01", "silent")]
    state(cast.device, data_at=0)
    assert look().cleared == 1


@pytest.mark.parametrize("gone", [{"is_enabled": False}, {"type": None}], ids=["off", "other type"])
def test_who_is_not_of_the_rule_any_more_is_cleared_without_a_word(cast, gone):
    kind = DeviceType.objects.create(name="Pump", tenant=cast.t0)
    devices = Device.objects.filter(pk=cast.device.pk)
    devices.update(type=kind)
    unchanged()
    state(cast.device, **SILENT)
    mine = rule(cast.t0, type=kind)
    look()
    devices.update(**gone)
    assert look().cleared == 0
    assert mine.alerts.get().end == "device"
    assert [notice.kind for notice in mine.notices.all()] == ["raised"]


def test_a_deleted_device_is_cleared_and_seen_by_nobody(cast):
    state(cast.device, **SILENT)
    mine = rule(cast.t0)
    look()
    Device.objects.filter(pk=cast.device.pk).retire()
    look()
    assert mine.alerts.get().end == "device"
    assert not Alert.objects.visible_to(cast.staff).exists()


def test_a_rule_is_about_its_tenant_and_its_type(cast):
    kind = DeviceType.objects.create(name="Pump")
    for device in (cast.device, cast.foreign):
        state(device, **SILENT)
    Device.objects.update(type=kind)
    unchanged()
    rules = [rule(cast.t0), rule(cast.t0, type=kind), rule(cast.other, type=kind)]
    other = rule(cast.t0, type=DeviceType.objects.create(name="Valve"))
    off = rule(cast.t0, is_enabled=False)
    look()
    mine = [("dev-01", "silent")]
    assert list(map(raised, rules)) == [mine, mine, [("foreign-01", "silent")]]
    assert raised(other) == raised(off) == []


@pytest.mark.parametrize(
    "deaf", [{"beat": 0.8}, {"connected": False}, None], ids=["old", "no broker", "none"]
)
def test_while_no_ingestor_listens_nothing_is_raised(cast, deaf):
    state(cast.device, **BOTH)
    mine = rule(cast.t0)
    if deaf is None:
        type(cast.device)._meta.apps.get_model("devices.Heartbeat").objects.all().delete()
    else:
        listening(**deaf)
    look()
    assert watching.listen().deaf_since
    assert not mine.alerts.exists()
    # Nor right after it: what devices sent meanwhile is not known yet.
    listening()
    AlertWatch.objects.update(deaf_since=ago(30))
    assert look().raised == 0
    AlertWatch.objects.update(listening_since=ago(10.1))
    assert look().raised == 1


def test_a_break_of_a_few_seconds_changes_nothing(cast):
    state(cast.device, **BOTH)
    rule(cast.t0)
    AlertWatch.objects.update(deaf_since=ago(0.5))
    assert look().raised == 1


def test_what_an_ingestor_has_not_taken_in_yet_is_not_held_against_a_device(cast):
    state(cast.device, session="online", data_at=10.3)
    mine = rule(cast.t0)
    ingestors = Heartbeat.objects
    ingestors.update(waiting_since=ago(0.5))
    assert look().raised == 0
    # As one of two is stuck nobody knows of whom it keeps the readings.
    ingestors.update(waiting_since=ago(20))
    ingestors.create(name="b", kind="ingestor", started_at=ago(99), beat_at=ago(0))
    assert look().raised == 0
    assert watching.listen().deaf_since < ago(19)
    # Once it has caught up, time counts anew.
    ingestors.update(waiting_since=None)
    assert look().raised == 0
    AlertWatch.objects.update(listening_since=ago(10.1))
    assert look().raised == 1
    assert mine.notices.count() == 1


def test_a_device_that_is_enabled_again_has_the_minutes_of_the_rule_to_speak(cast):
    state(cast.device, **BOTH)
    cast.device.is_enabled = False
    cast.device.save()
    rule(cast.t0)
    cast.device.is_enabled = True
    cast.device.save()
    assert look().raised == 0
    unchanged(10.1)
    assert look().raised == 1


def test_that_a_session_is_forgotten_is_no_all_clear_for_one_that_was_never_heard(cast):
    state(cast.device, session="offline", since=11)
    rule(cast.t0, "offline")
    look()
    state(cast.device, session="unknown", since=0)
    assert look().cleared == 0


def test_after_a_break_of_the_watch_itself_time_counts_anew(cast):
    state(cast.device, **BOTH)
    rule(cast.t0)
    AlertWatch.objects.update(checked_at=ago(3))
    assert look().raised == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_who_look_at_a_rule_one_leaves_it_to_the_other(cast):
    state(cast.device, **SILENT)
    mine = rule(cast.t0)
    with connection.copy().cursor() as other:
        other.execute("BEGIN")
        other.execute(watching.HOLD, [mine.pk])
        assert look().raised == 0
        other.execute("ROLLBACK")
        other.connection.close()
    assert look().raised == 1


def test_a_rule_raises_so_many_at_once_and_the_rest_later(cast):
    for number in range(5):
        people.device(f"pump-{number}", cast.t0, data_at=ago(11))
    mine = rule(cast.t0)
    assert [watching.look(mine.pk, 3).raised for _ in range(3)] == [3, 2, 0]
    assert [notice.content["count"] for notice in mine.notices.order_by("at")] == [3, 2]
    DeviceState.objects.update(data_at=ago(0))
    assert [watching.look(mine.pk, 4).cleared for _ in range(3)] == [4, 1, 0]


def test_a_rule_that_takes_too_long_is_left_out(cast, monkeypatch):
    state(cast.device, **SILENT)
    slow, mine = rule(cast.t0), rule(cast.other)
    state(cast.foreign, **SILENT)
    monkeypatch.setattr(watching, "RULE_TIMEOUT", "SET LOCAL statement_timeout = '50ms'")
    monkeypatch.setattr(watching, "CLEAR", "SELECT pg_sleep(1), %(rule)s")
    assert watching.look(slow.pk).is_slow
    monkeypatch.undo()
    assert watching.look(mine.pk).raised == 1


def test_a_round_makes_one_notice_for_each_address_with_the_first_fifty(cast):
    devices = [people.device(f"pump-{n:03}", cast.t0, data_at=ago(11)) for n in range(60)]
    addresses = ["a@t0.example", "b@t0.example"]
    mine = rule(cast.t0, emails=addresses, webhook_url="https://hooks.example.com/")
    assert [look().raised, look().raised] == [len(devices), 0]
    assert {notice.target for notice in mine.notices.all()} == {*addresses, mine.webhook_url}
    content = mine.notices.first().content
    assert (content["count"], content["silent"], content["offline"]) == (60, 60, 0)
    assert [it["device_uid"] for it in content["devices"]] == [f"pump-{n:03}" for n in range(50)]
    assert json.dumps(content["rule"]) == json.dumps(
        {"id": mine.pk, "name": "Pumps", "condition": "either", "after_minutes": 10}
    )


def test_a_new_installation_counts_from_when_its_ingestor_came(cast):
    AlertWatch.objects.all().delete()
    look()
    watch = AlertWatch.objects.get()
    assert watch.checked_at - watch.listening_since > timedelta(hours=16)
    assert AlertNotice.objects.count() == 0
