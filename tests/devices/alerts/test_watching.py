"""What raises an alert and what clears it: states of devices against rules."""

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction

from devices.alerts import watching
from devices.models import Alert, AlertNotice, AlertRule, AlertWatch, Device, DeviceType
from tests import cast as people
from tests.devices.alerts.fleet import ago, listening, look, rule, state

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
