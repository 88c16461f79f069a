"""What a reply makes of a command: it moves forward on evidence, once, and never back."""

import uuid
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.commands import outbox, replies
from devices.commands.cancelling import cancel
from devices.commands.outbox import Outcome, Result
from devices.commands.replies import Reply
from devices.commands.sending import Order, send
from devices.models import Command, CommandTransition
from telemetry.decode import REPLIES


@pytest.fixture
def command(cast):
    return send(Order("reboot", {}), cast.device, cast.operator).what


def record(*said, back=()):
    connection.ensure_connection()
    replies.record(psycopg.Cursor(connection.connection), said, back)


def reply(command, status, result=None, error="", at=None):
    return Reply(command.device_id, command.id, status, result, error, at or timezone.now())


def say(command, status, result=None, error="", at=None):
    """The command as it is after a reply of its device."""
    record(reply(command, status, result, error, at))
    return Command.objects.get(pk=command.pk)


def steps(command):
    """The history, without its beginning."""
    return [(step.status, step.detail) for step in command.transitions.all()][1:]


def overdue(command):
    """Its life is over by now, but nobody has looked."""
    Command.objects.update(created_at=timezone.now() - timedelta(hours=2))
    Command.objects.update(expires_at=timezone.now() - timedelta(hours=1))


def publish(command):
    """A dispatcher claims it, and it is on its way."""
    (claim,) = outbox.turn([], 10).claims
    return claim


def test_a_command_that_was_accepted_is_acknowledged_and_nothing_is_left_to_publish(command):
    at = timezone.now()
    after = say(command, "accepted", at=at)
    assert (after.status, after.acknowledged_at) == ("acknowledged", at)
    assert outbox.turn([], 10).claims == []
    assert (after.finished_at, after.is_late) == (None, False)
    assert steps(after) == [("acknowledged", "accepted")]


@pytest.mark.parametrize(("word", "status"), [("ok", "succeeded"), ("error", "failed")])
def test_a_command_ends_as_its_device_says(command, word, status):
    at = timezone.now()
    after = say(command, word, result={"uptime": 3}, error="no power", at=at)
    assert (after.status, after.finished_at) == (status, at)
    assert outbox.turn([], 10).claims == []
    assert (after.reply, after.result, after.error) == (word, {"uptime": 3}, "no power")
    assert steps(after) == [(status, "")]


def test_a_command_has_the_whole_way_in_its_history(command):
    for word in ("accepted", "progress", "ok"):
        after = say(command, word)
    assert steps(after) == [
        ("acknowledged", "accepted"),
        ("acknowledged", "progress"),
        ("succeeded", ""),
    ]


@pytest.mark.parametrize("word", REPLIES)
def test_the_same_reply_again_changes_nothing(command, word):
    first = say(command, word, result=[1], error="e")
    said, before = steps(first), Command.objects.values().get()
    second = say(command, word, result=[1], error="e", at=timezone.now() + timedelta(hours=1))
    assert (steps(second), Command.objects.values().get()) == (said, before)


def test_accepted_after_ok_changes_nothing(command):
    first = say(command, "ok", result=1)
    second = say(command, "accepted", result=2)
    assert (second.status, second.reply, second.result) == ("succeeded", "ok", 1)
    assert (second.acknowledged_at, steps(second)) == (None, steps(first))


def test_accepted_after_progress_does_not_go_back(command):
    say(command, "progress", result=50)
    after = say(command, "accepted")
    assert (after.reply, after.result) == ("progress", 50)


def test_of_two_outcomes_the_first_holds(command):
    say(command, "ok")
    after = say(command, "error", error="too late")
    assert (after.status, after.error, after.is_late) == ("succeeded", "", False)


def test_progress_brings_its_newest_result_and_is_one_step_however_often_it_comes(command):
    for percent in (10, 20, 30):
        after = say(command, "progress", result=percent)
    assert (after.status, after.result) == ("acknowledged", 30)
    assert steps(after) == [("acknowledged", "progress")]


def test_acknowledged_is_the_time_of_the_first_word(command):
    at = timezone.now()
    say(command, "accepted", at=at)
    after = say(command, "progress", at=at + timedelta(minutes=1))
    assert after.acknowledged_at == at


def test_an_outcome_without_a_result_keeps_that_of_the_progress(command):
    say(command, "progress", result={"percent": 90})
    assert say(command, "ok").result == {"percent": 90}


def test_replies_of_one_batch_are_followed_in_their_order(command):
    record(reply(command, "accepted"), reply(command, "progress", 50), reply(command, "ok", 100))
    after = Command.objects.get(pk=command.pk)
    assert (after.status, after.result, len(steps(after))) == ("succeeded", 100, 3)


def test_a_reply_before_sent_is_recorded_is_not_taken_back_by_it(command):
    claim = publish(command)
    say(command, "accepted")
    outbox.turn([Outcome(claim, Result.TAKEN)], 0)
    after = Command.objects.get(pk=command.pk)
    assert after.status == "acknowledged"
    assert after.sent_at
    assert steps(after) == [("acknowledged", "accepted")]


def test_an_answer_before_an_unclear_outcome_ends_the_matter(command):
    claim = publish(command)
    say(command, "ok")
    outbox.turn([Outcome(claim, Result.UNCLEAR, "No answer.")], 0)
    after = Command.objects.get(pk=command.pk)
    assert (after.status, after.reason) == ("succeeded", "")


@pytest.mark.parametrize("word", REPLIES)
def test_a_command_that_expired_stays_so_when_a_late_reply_comes(command, word):
    overdue(command)
    outbox.turn([], 0)
    ended = Command.objects.get(pk=command.pk)
    after = say(command, word, result=1, error="e")
    assert (after.status, after.finished_at) == ("expired", ended.finished_at)
    assert (after.is_late, after.reply, after.result, after.error) == (True, word, 1, "e")
    assert steps(after)[-1] == ("expired", f"A late reply: {word}.")


def test_a_reply_after_the_end_of_life_finds_it_expired_though_nobody_had_looked(command):
    overdue(command)
    after = say(command, "ok")
    assert (after.status, after.is_late) == ("expired", True)
    assert after.finished_at == after.expires_at
    assert steps(after) == [("expired", ""), ("expired", "A late reply: ok.")]


def test_a_reply_that_came_in_time_counts_though_its_batch_is_stored_later(command):
    overdue(command)
    after = say(command, "ok", at=timezone.now() - timedelta(hours=1, minutes=1))
    assert (after.status, after.is_late) == ("succeeded", False)


def test_a_reply_is_not_late_for_an_ingestor_whose_clock_is_ahead(command):
    after = say(command, "ok", at=timezone.now() + timedelta(days=2))
    assert (after.status, after.is_late) == ("succeeded", False)


def test_a_command_that_was_cancelled_stays_so_when_a_late_reply_comes(cast, command):
    cancel(Command.objects.all(), cast.operator)
    after = say(command, "ok", result=1)
    assert (after.status, after.is_late, after.result) == ("cancelled", True, 1)
    assert steps(after)[-1] == ("cancelled", "A late reply: ok.")


def test_late_replies_are_followed_as_others_are(command):
    say(command, "progress", result=1)
    overdue(command)
    for word in ("progress", "progress", "ok", "ok", "error"):
        after = say(command, word, result=2)
    assert (after.status, after.reply, after.is_late) == ("expired", "ok", True)
    assert [detail for _, detail in steps(after)][2:] == [
        "A late reply: progress.",
        "A late reply: ok.",
    ]


def test_only_a_devices_own_commands_are_known(cast, command):
    foreign = send(Order("reboot", {}), cast.foreign, cast.stranger).what
    asked = {
        (command.device_id, command.id),
        (command.device_id, foreign.id),
        (command.device_id, uuid.uuid4()),
    }
    assert replies.known(asked) == {(command.device_id, command.id)}


def test_whoever_answers_and_comes_back_at_once_gets_the_rest_again(cast, command):
    other = send(Order("blink", {}), cast.device, cast.operator).what
    Command.objects.update(status="sent", sent_at=timezone.now(), published_at=timezone.now())
    record(reply(command, "accepted"), back=[cast.device.pk])
    assert [claim.id for claim in outbox.turn([], 10).claims] == [other.id]


def test_a_thousand_replies_take_as_many_statements_as_one(cast):
    end = timezone.now() + timedelta(hours=1)
    Command.objects.bulk_create(
        Command(tenant=cast.t0, device=cast.device, cmd="blink", expires_at=end)
        for _ in range(1_000)
    )
    said = [reply(command, "ok", result={"n": 1}) for command in Command.objects.all()]
    with CaptureQueriesContext(connection) as captured:
        record(*said)
    assert len(captured) == 2
    assert Command.objects.filter(status="succeeded", result={"n": 1}).count() == 1_000
    assert CommandTransition.objects.filter(status="succeeded").count() == 1_000
