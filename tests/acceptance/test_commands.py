"""Commands between the rows and the devices, with all processes at work and nothing in trouble."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Role
from devices.models import Command, DeviceState
from telemetry.models import Receipt, RejectedMessage
from tests import cast as people
from tests.acceptance.fleet import OBEYED
from tests.acceptance.ledger import wait_until
from tests.acceptance.proxy import PUBACK

pytestmark = pytest.mark.mosquitto

BRIEF = timedelta(seconds=0.7)


@pytest.fixture(scope="module")
def _dispatcher(shared):
    shared.dispatcher().wait_until_connected()


@pytest.fixture
def platform(shared, _dispatcher):
    return shared


@pytest.fixture
def device(new_fleet):
    """A fleet of one, not connected: it says that it is online, and its Last Will that it is not.

    The broker keeps nothing for it, so what it gets in a new session comes from the dispatcher.
    """
    return new_fleet(1, tells=True, keeps_session=False)


def api(fleet):
    """An app of an operator of the fleet's tenant."""
    return people.api(people.user(f"{fleet.tenant.slug}@example.com", fleet.tenant, Role.OPERATOR))


def ids(commands):
    return [str(command.id) for command in commands]


def states(command):
    return [step.status for step in command.transitions.all()]


def wait_for_session(fleet, state):
    told = DeviceState.objects.filter(device__tenant=fleet.tenant, session=state)
    wait_until(lambda: told.count() == len(fleet.uids), f"all devices {state}")


def wait_for(command, **fields):
    found = Command.objects.filter(pk=command.pk, **fields)
    wait_until(found.exists, f"a command that is {fields}")
    command.refresh_from_db()


def outlive(command):
    wait_until(lambda: timezone.now() > command.expires_at, "the end of a command's life")


def connect(fleet):
    fleet.connect()
    wait_for_session(fleet, "online")


def go_offline(fleet):
    fleet.die()
    wait_for_session(fleet, "offline")


def test_nothing_is_published_while_a_device_is_off_and_all_in_order_when_it_is_back(device):
    connect(device)
    go_offline(device)
    commands = device.send(20)
    wait_for(commands[0], reason="The device is offline.")
    assert {(each.status, each.claimed_at) for each in device.commands} == {("queued", None)}
    connect(device)
    device.wait_until_done()
    assert [arrival.id for arrival in device.received] == ids(commands)
    assert device.findings() == OBEYED


def test_a_command_that_was_taken_and_not_acted_on_comes_again_in_the_next_session(device):
    connect(device)
    device.obeys = False
    accepted, silent = device.send(2)
    device.wait_for(2)
    device.reply(device.uids[0], str(accepted.id), "accepted")
    wait_for(accepted, status="acknowledged")
    wait_for(silent, status="sent")
    go_offline(device)
    device.obeys = True
    connect(device)
    wait_for(silent, status="succeeded")
    assert [arrival.n for arrival in device.received] == [0, 1, 1]
    assert device.executed == [(device.uids[0], 1)]


def test_a_reply_that_is_faster_than_the_brokers_word_counts(platform, new_fleet):
    fleet = new_fleet(1)
    fleet.connect()
    with platform.mqtt.withholding(PUBACK):
        (command,) = fleet.send()
        wait_for(command, status="succeeded")
        assert command.sent_at is None
    wait_for(command, sent_at__isnull=False)
    assert states(command) == ["queued", "succeeded"]
    fleet.send()
    fleet.wait_until_done()
    assert fleet.findings() == OBEYED


def test_replies_that_come_again_or_from_somebody_else_change_nothing(device, new_fleet):
    stranger, neighbour = new_fleet(1), new_fleet(2)
    for fleet in (device, stranger, neighbour):
        fleet.obeys = False
        fleet.connect()
    (command,) = device.send()
    _, own = neighbour.send()
    neighbour.wait_for(2)
    wait_for(command, status="sent")
    stranger.reply(stranger.uids[0], str(command.id), "error", error="mine")
    neighbour.reply(neighbour.uids[0], str(own.id), "ok")
    rejected = RejectedMessage.objects.filter(reason="unknown_command")
    wait_until(lambda: rejected.count() == 2, "two rejected replies")
    assert {each.device_uid for each in rejected} == {stranger.uids[0], neighbour.uids[0]}
    for result in (1, 1, 2):
        device.reply(device.uids[0], str(command.id), "ok", result=result)
    device.reply(device.uids[0], str(command.id), "error", error="after all")
    device.say(device.uids[0], "telemetry", {"msg_id": "the last word"})
    wait_until(Receipt.objects.filter(device__tenant=device.tenant).exists, "the last word")
    command.refresh_from_db()
    assert (command.status, command.result, command.error) == ("succeeded", 1, "")
    assert states(command) == ["queued", "sent", "succeeded"]
    assert {each.status for each in neighbour.commands} == {"sent"}


def test_what_is_cancelled_while_commands_go_out_never_arrives_and_all_else_does(
    platform, new_fleet
):
    fleet = new_fleet(10)
    fleet.connect()
    app, cancelled = api(fleet), Command.objects.filter(status="cancelled")
    with ThreadPoolExecutor(2) as pool:
        with platform.mqtt.withholding(PUBACK) as gate:
            commands = fleet.send(20)
            assert gate.reached.wait(30)
            random.shuffle(commands)
            answers = pool.map(lambda each: app.post(f"/commands/{each.id}/cancel"), commands)
            wait_until(cancelled.exists, "a command that is cancelled")
        codes = dict(zip(ids(commands), [each.status_code for each in answers], strict=True))
    fleet.wait_until_done()
    assert set(codes.values()) == {200, 409}
    assert {id for id, code in codes.items() if code == 200} == set(ids(cancelled))
    assert {arrival.id for arrival in fleet.received} == codes.keys() - set(ids(cancelled))
    cancelled.delete()
    assert fleet.findings() == OBEYED


def test_a_command_that_expired_while_its_device_was_off_never_reaches_it(device):
    connect(device)
    go_offline(device)
    (expiring,) = device.send(life=BRIEF)
    wait_for(expiring, reason="The device is offline.")
    outlive(expiring)
    # It also wakes the dispatcher, which else would look some seconds later.
    (lasting,) = device.send()
    wait_for(expiring, status="expired")
    told = api(device).get(f"/commands/{expiring.id}").json()
    assert (told["status"], told["reason"]) == ("expired", "The device is offline.")
    connect(device)
    wait_for(lasting, status="succeeded")
    assert [arrival.id for arrival in device.received] == [str(lasting.id)]


def test_a_command_that_expired_in_the_broker_never_reaches_its_device(new_fleet):
    fleet = new_fleet(1)
    fleet.connect()
    fleet.die()
    (expiring,) = fleet.send(life=BRIEF)
    wait_for(expiring, sent_at__isnull=False)
    outlive(expiring)
    (lasting,) = fleet.send()
    wait_for(expiring, status="expired")
    assert api(fleet).get(f"/commands/{expiring.id}").json()["status"] == "expired"
    # The broker counts whole seconds, one at least, which may have begun before.
    gone = expiring.sent_at + timedelta(seconds=2.1)
    wait_until(lambda: timezone.now() > gone, "the end of a message's life")
    fleet.connect()
    wait_for(lasting, status="succeeded")
    assert [arrival.id for arrival in fleet.received] == [str(lasting.id)]


def test_the_reply_to_a_command_that_expired_is_kept_as_late(device):
    device.obeys = False
    connect(device)
    (command,) = device.send(life=BRIEF)
    wait_for(command, status="sent")
    outlive(command)
    device.reply(device.uids[0], str(command.id), "ok", result=5)
    wait_for(command, is_late=True)
    assert (command.status, command.reply, command.result) == ("expired", "ok", 5)
    assert states(command) == ["queued", "sent", "expired", "expired"]


def test_a_command_that_is_rolled_back_is_no_command(new_fleet):
    fleet = new_fleet(1)
    fleet.connect()
    with transaction.atomic():
        fleet.send()
        transaction.set_rollback(True)
    (command,) = fleet.send()
    wait_for(command, status="succeeded")
    assert [arrival.id for arrival in fleet.received] == ids(fleet.commands) == [str(command.id)]


def test_a_reply_that_comes_while_no_ingestor_runs_is_not_lost(platform, new_fleet):
    fleet = new_fleet(1)
    fleet.connect()
    platform.listening.kill()
    (command,) = fleet.send()
    wait_for(command, status="sent")
    wait_until(lambda: fleet.executed, "the execution")
    platform.listening = platform.ingestor()
    wait_for(command, status="succeeded")
    assert len(fleet.received) == 1
    assert fleet.findings() == OBEYED
