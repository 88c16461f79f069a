"""What is put off, for devices that are away or disabled, and what wakes it."""

import pytest
from django.db import connection
from django.utils import timezone

from devices.commands import outbox, replies
from devices.commands.cancelling import cancel, cancel_batch
from devices.commands.outbox import Result
from devices.commands.replies import Reply
from devices.models import Command, Device, DeviceState
from tests import cast as people
from tests.devices.commands.turns import (
    claim_one,
    claims,
    delay_of,
    expire,
    fresh,
    queue_of,
    record,
    resume,
    steps,
    wait_for,
)


@pytest.fixture
def dev(cast):
    return cast.device


def test_a_device_that_is_offline_gets_nothing_until_its_next_session(dev):
    command = people.command(dev)
    DeviceState.objects.create(device=dev, session="offline")
    assert claims() == []
    assert (fresh(command).reason, command.claimed_at) == ("The device is offline.", None)
    assert delay_of(dev) > 290
    DeviceState.objects.update(session="online")
    resume(dev)
    assert claim_one().id == command.id


def test_all_that_wait_for_a_device_that_is_offline_say_so(dev):
    DeviceState.objects.create(device=dev, session="offline")
    commands = [people.command(dev) for _ in range(3)]
    assert claims() == []
    assert {fresh(command).reason for command in commands} == {"The device is offline."}


def test_a_device_that_is_offline_is_looked_at_now_and_then_all_the_same(dev):
    people.command(dev)
    DeviceState.objects.create(device=dev, session="offline")
    assert claims() == []
    DeviceState.objects.update(session="online")
    wait_for(600)
    assert len(claims()) == 1


def test_a_command_to_a_device_that_is_offline_does_not_change_what_is_known(dev):
    DeviceState.objects.create(device=dev, session="offline")
    for _ in range(2):
        people.command(dev)
        assert claims() == []
    assert queue_of(dev).attempts == 0


@pytest.mark.parametrize("session", ["online", "unknown"])
def test_a_device_that_may_be_there_gets_its_command(dev, session):
    people.command(dev)
    DeviceState.objects.create(device=dev, session=session)
    assert len(claims()) == 1


def test_a_device_that_is_disabled_is_looked_at_again_in_a_minute(dev):
    command = people.command(dev)
    Device.objects.update(is_enabled=False)
    assert claims() == []
    assert 55 < delay_of(dev) <= 60
    assert fresh(command).reason == "The device is disabled."
    Device.objects.update(is_enabled=True)
    wait_for(60)
    assert claim_one().id == command.id


def test_a_device_with_nothing_to_publish_is_not_looked_at(dev):
    command = people.command(dev)
    record(claim_one())
    assert claims() == []
    assert queue_of(dev).look_at is None
    assert fresh(command).status == "sent"


def test_it_is_known_when_something_is_put_off_to(dev):
    people.command(dev)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    turn = outbox.turn([], 10)
    assert turn.claims == []
    assert 0 < turn.wait <= 1


@pytest.fixture
def behind(dev):
    """Two commands of a device that does not connect."""
    first, second = people.command(dev), people.command(dev)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    assert claims() == []
    wait_for(60)
    return first, second


def test_what_waits_behind_a_command_that_expires_is_next(behind):
    first, second = behind
    expire(first)
    assert claim_one().id == second.id


def test_what_waits_behind_a_command_that_is_cancelled_is_next(behind):
    first, second = behind
    assert cancel(Command.objects.filter(pk=first.pk), None) == {first.pk}
    assert claim_one().id == second.id


def test_what_waits_behind_a_command_that_its_device_answers_is_next(behind):
    first, second = behind
    answer = Reply(first.device_id, first.id, "ok", None, "", timezone.now())
    with connection.cursor() as cursor:
        replies.record(cursor, [answer])
    assert fresh(first).status == "succeeded"
    assert claim_one().id == second.id


def test_a_new_command_has_a_device_that_did_not_connect_tried_at_once(dev):
    first = people.command(dev)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    people.command(dev)
    assert claim_one().id == first.id


def test_a_new_command_does_not_disturb_the_one_in_flight(dev):
    people.command(dev)
    claim_one()
    people.command(dev)
    assert claims() == []


def test_a_new_session_of_a_device_without_commands_leaves_nothing_to_look_at(dev):
    resume(dev)
    assert queue_of(dev).look_at is None
    command = people.command(dev)
    assert claim_one().id == command.id


def test_what_was_on_its_way_when_its_batch_was_cancelled_is_not_tried_again(cast):
    batch = people.batch(cast.t0)
    claim = claim_one()
    assert cancel_batch(batch, cast.operator) == set()
    record(claim, Result.NOT_TAKEN, "No subscriber.")
    command = batch.commands.get()
    assert command.status == "cancelled"
    assert steps(command)[-1] == ("cancelled", "The broker had passed it on to nobody.")


@pytest.mark.parametrize("result", [Result.TAKEN, Result.UNCLEAR])
def test_what_was_out_when_its_batch_was_cancelled_is_not_published_again(cast, result):
    batch = people.batch(cast.t0)
    claim = claim_one()
    assert cancel_batch(batch, cast.operator) == set()
    record(claim, result, "No answer.")
    resume(cast.device)
    assert claims() == []
    (_, withdrawn, *_) = batch.commands.get().transitions.all()
    assert withdrawn.by == "operator@t0.example"
