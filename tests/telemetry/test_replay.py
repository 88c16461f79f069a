"""A rejected message gets another chance."""

import time

import pytest

from devices.models import Device, DeviceState
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import store
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from telemetry.replay import replay
from tests.telemetry.conftest import message

pytestmark = pytest.mark.django_db


def rejected():
    return RejectedMessage.objects.get()


@pytest.fixture
def disabled(dev):
    Device.objects.update(is_enabled=False)
    return dev


def enable():
    Device.objects.update(is_enabled=True)


def test_once_the_device_is_enabled_its_message_is_stored_and_resolved(disabled):
    sent = message({"msg_id": "a", "temp": 1})
    store([sent])
    enable()
    assert replay(rejected()) == "stored"
    assert rejected().resolved_at is not None
    assert Telemetry.objects.get().received_at.timestamp() * 1e6 == pytest.approx(
        sent.received_at, abs=1
    )


def test_while_it_is_disabled_the_message_stays(disabled):
    store([message({"temp": 1})])
    assert replay(rejected()) == "rejected"
    assert (rejected().resolved_at, rejected().reason) == (None, Reason.DEVICE_DISABLED)


def test_a_new_reason_takes_the_place_of_the_old(disabled, settings):
    store([message({"temp": 1})])
    Device.objects.all().delete()
    settings.AUTO_REGISTER = False
    assert replay(rejected()) == "rejected"
    assert rejected().reason == Reason.UNKNOWN_DEVICE


def test_a_message_that_came_again_meanwhile_is_a_duplicate(disabled):
    store([message({"msg_id": "a"})])
    enable()
    store([message({"msg_id": "a"})])
    assert replay(rejected()) == "duplicate"
    assert rejected().resolved_at is not None


def test_replaying_twice_stores_once_even_without_ids(disabled):
    store([message([{"temp": 1}, {"temp": 2}])])
    enable()
    assert [replay(rejected()), replay(rejected())] == ["stored", None]
    assert Telemetry.objects.count() == 2


def test_a_broken_frame_is_no_payload(dev):
    frame = Incoming("t0/devices/dev-01/telemetry", b'{"temp": 1}', time.time_ns() // 1_000)
    store([frame.reject(Reason.MALFORMED_PACKET)])
    assert replay(rejected()) == "rejected"
    assert not Telemetry.objects.exists()


def test_a_topic_of_other_bytes_survives(t0):
    store([decode_message(b"t0/\xff/x".decode(errors="surrogateescape"), b"{}", 1)])
    assert bytes(rejected().topic) == b"t0/\xff/x"
    assert replay(rejected()) == "rejected"


def test_a_status_can_be_replayed(disabled):
    store([message(b"online", kind="status")])
    enable()
    assert replay(rejected()) == "stored"
    assert DeviceState.objects.get().session == "online"
