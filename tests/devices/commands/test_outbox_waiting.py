"""What is put off: for devices that are away or disabled, and behind commands that are put off."""

import pytest
from django.db import connection
from django.utils import timezone

from devices.commands import outbox, replies
from devices.commands.cancelling import cancel, cancel_batch
from devices.commands.outbox import Outcome, Result
from devices.commands.replies import Reply
from devices.models import Command, Device, DeviceState
from tests import cast as people
from tests.devices.commands.turns import (
    claim_one,
    claims,
    delay_of,
    expire,
    fresh,
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
    assert command.publish_at == command.expires_at
    DeviceState.objects.update(session="online")
    resume(dev)
    assert claim_one().id == command.id


@pytest.mark.parametrize("session", ["online", "unknown"])
def test_a_device_that_may_be_there_gets_its_command(dev, session):
    people.command(dev)
    DeviceState.objects.create(device=dev, session=session)
    assert len(claims()) == 1


def test_a_device_that_is_disabled_is_looked_at_again_in_a_minute(dev):
    command = people.command(dev)
    Device.objects.update(is_enabled=False)
    assert claims() == []
    assert 55 < delay_of(command) <= 60
    assert command.reason == "The device is disabled."
    Device.objects.update(is_enabled=True)
    wait_for(60)
    assert claim_one().id == command.id


@pytest.fixture
def behind(dev):
    """Two commands of a device that does not connect, the second put off for minutes."""
    first, second = people.command(dev, attempts=6), people.command(dev)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    assert claims() == []
    assert 5 * 60 < delay_of(second) < 12 * 60
    assert second.reason == "No subscriber."
    return first, second


def test_what_waits_behind_a_command_that_is_put_off_follows_when_that_is_sent(behind):
    first, second = behind
    wait_for(60, pk=first.pk)
    (claim,) = claims(outcomes=[Outcome(claim_one(), Result.TAKEN)])
    assert claim.id == second.id


def test_what_waits_behind_a_command_that_is_put_off_again_goes_on_waiting(behind):
    first, second = behind
    wait_for(60, pk=first.pk)
    assert claims(outcomes=[Outcome(claim_one(), Result.NOT_TAKEN, "No subscriber.")]) == []
    assert delay_of(first) > 15
    assert delay_of(second) > 5 * 60


def test_what_waits_behind_a_command_that_is_put_off_follows_when_that_expires(behind):
    first, second = behind
    expire(first)
    assert claim_one().id == second.id


def test_what_waits_behind_a_command_that_is_put_off_follows_when_that_is_cancelled(behind):
    first, second = behind
    assert cancel(Command.objects.filter(pk=first.pk), None) == 1
    assert claim_one().id == second.id


def test_what_waits_behind_a_command_that_is_put_off_follows_when_its_device_answers(behind):
    first, second = behind
    answer = Reply(first.device_id, first.id, "ok", None, "", timezone.now())
    with connection.cursor() as cursor:
        replies.record(cursor, [answer])
    assert fresh(first).status == "succeeded"
    assert claim_one().id == second.id


def test_what_was_on_its_way_when_its_batch_was_cancelled_is_not_tried_again(cast):
    batch = people.batch(cast.t0)
    claim = claim_one()
    assert cancel_batch(batch, cast.operator) == 0
    record(claim, Result.NOT_TAKEN, "No subscriber.")
    wait_for(60, pk=claim.number)
    assert claims() == []
    command = batch.commands.get()
    assert command.status == "cancelled"
    assert steps(command)[-1] == ("cancelled", "Its batch was cancelled.")


def test_what_the_broker_may_have_of_a_cancelled_batch_is_published_until_that_is_known(cast):
    batch = people.batch(cast.t0)
    claim = claim_one()
    assert cancel_batch(batch, cast.operator) == 0
    record(claim, Result.UNCLEAR, "No answer.")
    assert claim_one().id == claim.id


def test_what_waits_behind_a_command_that_is_put_off_begins_anew_with_its_device(dev, behind):
    first, _ = behind
    resume(dev)
    assert claim_one().id == first.id


def test_what_is_queued_for_a_device_that_is_offline_waits_as_long_as_it_is(dev):
    DeviceState.objects.create(device=dev, session="offline")
    first, second = people.command(dev), people.command(dev)
    assert claims() == claims() == []
    assert fresh(second).publish_at > fresh(first).publish_at == first.expires_at
    assert second.reason == "The device is offline."


def test_a_command_in_another_dispatchers_hands_is_not_woken(dev):
    first, second = people.command(dev), people.command(dev)
    record(claim_one())
    claim_one()
    with connection.cursor() as cursor:
        outbox.wake_next(cursor, [first.number])
    assert fresh(second).publish_at > timezone.now()


def test_what_waits_behind_a_command_in_flight_is_not_put_off(dev):
    first, second = people.command(dev), people.command(dev)
    claim = claim_one()
    assert claims() == []
    assert fresh(second).publish_at < timezone.now()
    record(claim, Result.NOT_TAKEN, "No subscriber.")
    assert fresh(first).publish_at > timezone.now()
    assert claims() == []
    assert fresh(second).publish_at < timezone.now()
