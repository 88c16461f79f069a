"""What becomes of a device's state: latest values, last seen, session."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from devices import state
from devices.models import DeviceState
from telemetry.ingest import Tally, store
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason
from tests.telemetry.conftest import latest, message

pytestmark = pytest.mark.django_db

NOW = time.time()


def the_reason():
    return RejectedMessage.objects.get().reason


def test_latest_values_move_each_by_its_own_time(dev):
    store([message({"ts": NOW - 10, "temp": 1, "hum": 1})])
    store([message({"ts": NOW - 20, "temp": 2, "bat": 2}), message({"ts": NOW - 5, "hum": 3})])
    assert latest() == {"temp": 1, "hum": 3, "bat": 2}
    store([message({"ts": NOW - 15, "temp": 4, "hum": 4, "bat": 4})])
    assert latest() == {"temp": 1, "hum": 3, "bat": 4}


def test_a_duplicate_moves_no_latest_value(dev):
    store([message({"msg_id": 5, "temp": 1})])
    store([message({"msg_id": 6, "temp": 2})])
    store([message({"msg_id": 5, "temp": 1})])
    assert latest() == {"temp": 2}


def test_of_readings_of_one_moment_the_last_to_come_is_the_latest(dev):
    store([message({"ts": NOW, "temp": n, f"key-{n}": n}) for n in range(3)])
    assert latest() == {"temp": 2, "key-0": 0, "key-1": 1, "key-2": 2}


def test_latest_values_have_their_time_in_milliseconds(dev):
    store([message({"ts": 1_000 * round(NOW), "temp": 1})])
    assert DeviceState.objects.get().latest == {"temp": [1, 1_000 * round(NOW)]}


def test_ts_and_msg_id_are_no_latest_values(dev):
    store([message({"ts": NOW, "msg_id": 1, "temp": 1})])
    store([message({"ts": NOW, "values": {"temp": 2, "msg_id": 5}})])
    assert latest() == {"temp": 2}


def test_latest_values_of_a_device_that_invents_keys_start_over(dev, monkeypatch):
    monkeypatch.setattr("devices.state.LATEST_SIZE", 2_000)
    monkeypatch.setattr("devices.state.LARGE", 500)
    for start in range(0, 400, 100):
        store([message({f"key-{n}": n for n in range(start, start + 100)})])
    assert len(latest()) < 400
    assert latest()["key-399"] == 399


def test_a_status_leaves_large_latest_values_alone(dev, monkeypatch):
    monkeypatch.setattr("devices.state.LATEST_SIZE", 2_000)
    monkeypatch.setattr("devices.state.LARGE", 500)
    store([message({f"key-{n}": n for n in range(300)})])
    store([message(b"online", kind="status")])
    assert len(latest()) == 300


def test_every_accepted_message_moves_last_seen(dev):
    store([message({"msg_id": 1}, received_at=10**15)])
    store([message({"msg_id": 1}, received_at=2 * 10**15)])
    assert DeviceState.objects.get().last_seen_at.timestamp() == 2 * 10**9


def test_last_seen_never_goes_back(dev):
    for moment in (2 * 10**15, 10**15):
        store([message({"msg_id": moment}, received_at=moment)])
    assert DeviceState.objects.get().last_seen_at.timestamp() == 2 * 10**9


def test_statuses_are_followed(dev):
    online = message({"state": "online", "session": "s1"}, kind="status")
    assert store([online]) == Tally()
    state = DeviceState.objects.get()
    assert (state.session, state.session_id, state.reason) == ("online", "s1", "")
    assert state.since.timestamp() * 1e6 == pytest.approx(online.received_at, abs=1)


def test_the_end_of_an_earlier_session_is_ignored(dev):
    store([message({"state": "online", "session": "s2"}, kind="status")])
    store([message({"state": "offline", "session": "s1"}, kind="status")])
    assert DeviceState.objects.get().session == "online"
    store([message({"state": "offline", "session": "s2", "reason": "sleep"}, kind="status")])
    state = DeviceState.objects.get()
    assert (state.session, state.reason) == ("offline", "sleep")


def test_a_repeated_status_does_not_move_since(dev):
    for moment in (10**15, 2 * 10**15):
        store([message(b"online", kind="status", received_at=moment)])
    assert DeviceState.objects.get().since.timestamp() == 10**9


def test_status_and_readings_of_one_batch_meet_in_one_state(dev):
    store([message({"temp": 1}), message(b"online", kind="status"), message({"temp": 2})])
    state = DeviceState.objects.get()
    assert (state.session, state.latest["temp"][0]) == ("online", 2)


def test_many_statuses_of_a_device_are_followed_in_their_order(dev):
    words = [message(word, kind="status") for word in (b"online", b"offline") * 20]
    store(words)
    assert DeviceState.objects.get().session == "offline"


def test_of_batches_out_of_order_the_later_word_holds(dev):
    store([message(b"offline", kind="status", received_at=2 * 10**15)])
    store([message(b"online", kind="status", received_at=10**15)])
    assert DeviceState.objects.get().session == "offline"


def test_a_lost_session_does_not_take_back_what_was_said_since(dev):
    store([message(b"online", kind="status", received_at=2 * 10**15)])
    state.forget_sessions(datetime.fromtimestamp(10**9, UTC), "lost")
    assert DeviceState.objects.get().session == "online"
    state.forget_sessions(datetime.now(UTC) + timedelta(days=20_000), "lost")
    assert DeviceState.objects.get().session == "unknown"


def test_a_bad_status_is_rejected(dev):
    assert store([message(b"maybe", kind="status")]) == Tally(rejected=1)
    assert the_reason() == Reason.BAD_STATUS
