"""Replies at the door of the platform: whose they are, what is refused, and what they count."""

import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from devices.commands.sending import Order, send
from devices.models import Command, Device, DeviceState
from telemetry.ingest import Tally, store
from telemetry.management.commands.run_ingestor import subscriptions
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from telemetry.replay import replay
from tests.telemetry.conftest import message

pytestmark = pytest.mark.django_db


@pytest.fixture
def command(dev):
    return send(Order("reboot", {}), dev, None).what


def reply(command_id, status="ok", **more):
    where = {name: more.pop(name) for name in ("uid", "tenant", "received_at") if name in more}
    return message({"id": str(command_id), "status": status, **more}, kind="replies", **where)


def status_of(command):
    return Command.objects.get(pk=command.pk).status


def the_reason():
    return RejectedMessage.objects.get().reason


def test_a_reply_moves_its_command_at_the_time_of_its_receipt(dev, command):
    store([reply(command.id, "ok", result={"uptime": 3}, received_at=10**15)])
    after = Command.objects.get()
    assert (after.status, after.result) == ("succeeded", {"uptime": 3})
    assert after.finished_at.timestamp() == 10**9
    assert not Telemetry.objects.exists()


def test_a_reply_is_no_reading_but_its_device_was_seen(dev, command):
    store([reply(command.id, received_at=10**15)])
    state = DeviceState.objects.get()
    assert (state.last_seen_at.timestamp(), state.data_at, state.latest) == (10**9, None, {})


def test_what_is_received_is_stored_known_or_rejected_with_replies_and_statuses_too(dev, command):
    batch = [
        message({"msg_id": 1}),
        message({"msg_id": 1}),
        message(b"online", kind="status"),
        message(b"maybe", kind="status"),
        reply(command.id),
        reply(command.id),
        reply(uuid.uuid4()),
        reply("nonsense"),
    ]
    tally = store(batch)
    assert tally == Tally(stored=1, duplicate=1, rejected=3)
    assert tally.received == 5


def test_a_reply_to_no_command_is_kept_as_rejected_with_its_bytes(dev):
    sent = reply(uuid.uuid4())
    assert store([sent]) == Tally(rejected=1)
    rejected = RejectedMessage.objects.get()
    assert (rejected.reason, rejected.tenant.slug) == (Reason.UNKNOWN_COMMAND, "t0")
    assert rejected.detail == f"No command {sent.reply.command_id} was sent to this device."
    assert bytes(rejected.payload) == sent.payload
    assert not DeviceState.objects.exists()


def test_a_strangers_reply_changes_nothing_and_looks_like_one_to_no_command(dev, command):
    theirs = Tenant.objects.create(slug="other")
    Device.objects.create(device_uid="x", tenant=theirs)
    ids = [command.id, uuid.uuid4()]
    batch = [reply(each, uid="x", tenant="other") for each in ids]
    assert store(batch) == Tally(rejected=2)
    assert status_of(command) == "queued"
    kept = RejectedMessage.objects.values_list("tenant", "device_uid", "reason", "detail")
    assert set(kept) == {
        (theirs.pk, "x", Reason.UNKNOWN_COMMAND, f"No command {id} was sent to this device.")
        for id in ids
    }


def test_a_reply_of_another_device_of_the_tenant_changes_nothing(dev, command):
    Device.objects.create(device_uid="dev-02", tenant=dev.tenant)
    store([reply(command.id, uid="dev-02")])
    assert (status_of(command), the_reason()) == ("queued", Reason.UNKNOWN_COMMAND)


def test_a_strangers_reply_does_not_touch_the_rest_of_its_batch(dev, command):
    Device.objects.create(device_uid="dev-02", tenant=dev.tenant)
    batch = [reply(command.id, "error", uid="dev-02"), reply(command.id), message({"temp": 1})]
    assert store(batch) == Tally(stored=1, rejected=1)
    assert status_of(command) == "succeeded"


def test_a_reply_registers_no_device(t0):
    assert store([reply(uuid.uuid4(), uid="new")]) == Tally(rejected=1)
    rejected = RejectedMessage.objects.get()
    assert (rejected.reason, rejected.detail) == (
        Reason.UNKNOWN_DEVICE,
        "A reply registers no device.",
    )
    assert not Device.objects.exists()


def test_a_reply_of_an_unknown_tenant_is_rejected_as_that(t0):
    store([reply(uuid.uuid4(), tenant="nobody")])
    assert the_reason() == Reason.UNKNOWN_TENANT


def test_a_device_cannot_reply_in_the_name_of_another_tenant(dev, command):
    Tenant.objects.create(slug="other")
    store([reply(command.id, tenant="other")])
    assert (status_of(command), the_reason()) == ("queued", Reason.FOREIGN_DEVICE)


def test_a_reply_of_a_disabled_device_waits_for_it_to_be_enabled(dev, command):
    Device.objects.update(is_enabled=False)
    store([reply(command.id, received_at=10**15)])
    assert (status_of(command), the_reason()) == ("queued", Reason.DEVICE_DISABLED)
    Device.objects.update(is_enabled=True)
    assert replay(RejectedMessage.objects.get()) == "stored"
    assert RejectedMessage.objects.get().resolved_at
    assert Command.objects.get().finished_at.timestamp() == 10**9


def test_a_reply_to_no_command_can_be_replayed_and_stays_rejected(dev):
    store([reply(uuid.uuid4())])
    assert replay(RejectedMessage.objects.get()) == "rejected"
    assert RejectedMessage.objects.get().resolved_at is None


@pytest.mark.parametrize("body", [b"ok", b"", b"{", {"status": "ok"}, [], {"id": "1"}])
def test_what_is_no_reply_is_rejected_as_that(dev, body):
    assert store([message(body, kind="replies")]) == Tally(rejected=1)
    assert the_reason() == Reason.BAD_REPLY


def test_a_reply_obeys_the_rules_of_all_messages(dev, command, settings):
    store([reply(command.id, result="x" * settings.MAX_PAYLOAD)])
    assert the_reason() == Reason.TOO_LARGE


def test_a_batch_stored_twice_leaves_what_it_left_the_first_time(dev, command):
    other = send(Order("blink", {}), dev, None).what
    words = ("accepted", "progress", "ok")
    batch = [reply(command.id, word, result=n) for n, word in enumerate(words)]
    batch.append(reply(other.id, "progress", result=5))
    store(batch)
    before = list(Command.objects.values()), ids_of_steps()
    store(batch)
    assert (list(Command.objects.values()), ids_of_steps()) == before


def ids_of_steps():
    return list(Command.objects.values_list("pk", "transitions__id"))


def test_replies_take_no_more_statements_the_more_they_are(dev):
    def statements(count):
        commands = [send(Order("blink", {}), dev, None).what for _ in range(count)]
        batch = [reply(command.id) for command in commands]
        with CaptureQueriesContext(connection) as captured:
            store(batch)
        return len(captured)

    assert statements(1) == statements(30)


def test_replies_are_subscribed_beside_telemetry_and_old_ones_are_not_wanted(settings):
    settings.MQTT_TOPIC = "t0/devices/+/telemetry"
    wanted = {each.filter: each.retain_handling for each in subscriptions()}
    assert wanted == {
        "t0/devices/+/telemetry": 2,
        "t0/devices/+/replies": 2,
        "t0/devices/+/status": 1,
    }


def test_a_result_that_postgresql_refuses_rejects_the_reply_alone(dev, command):
    other = send(Order("blink", {}), dev, None).what
    bad = reply(command.id)
    bad = bad._replace(reply=bad.reply._replace(error="a\0b"))
    assert store([bad, reply(other.id)]) == Tally(rejected=1)
    assert (status_of(command), status_of(other)) == ("queued", "succeeded")
    assert the_reason() == Reason.DATABASE
    assert json.loads(bytes(RejectedMessage.objects.get().payload))["id"] == str(command.id)
