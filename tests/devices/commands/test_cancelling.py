"""Taking commands back: what is queued for certain, what is under way not at all."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from devices.commands import outbox
from devices.commands.cancelling import cancel, cancel_batch, why_not
from devices.commands.outbox import Outcome, Result
from devices.commands.sending import Order, send_to_many
from devices.models import Command, CommandBatch, Device
from tests import cast as people
from tests.devices.commands.test_outbox_races import Elsewhere
from tests.devices.commands.turns import claim_one, claims, fresh, record, resume


def of(*commands):
    return Command.objects.filter(pk__in=[each.pk for each in commands])


def test_a_queued_command_is_cancelled_and_never_claimed(cast):
    command = people.command(cast.device)
    assert len(cancel(of(command), cast.operator)) == 1
    command.refresh_from_db()
    assert command.status == "cancelled"
    assert [(step.status, step.by) for step in command.transitions.all()] == [
        ("queued", ""),
        ("cancelled", "operator@t0.example"),
    ]
    assert outbox.turn([], 10).claims == []


def test_a_command_in_a_dispatchers_hands_is_not_cancelled(cast):
    command = people.command(cast.device)
    assert len(outbox.turn([], 10).claims) == 1
    assert len(cancel(of(command), cast.operator)) == 0
    command.refresh_from_db()
    assert why_not(command).startswith("It is on its way to the broker, or may be")


def test_a_command_that_the_broker_passed_to_nobody_can_be_cancelled(cast):
    command = people.command(cast.device)
    (claim,) = outbox.turn([], 10).claims
    outbox.turn([Outcome(claim, Result.NOT_TAKEN, "No subscriber.")], 0)
    assert len(cancel(of(command), cast.operator)) == 1


def test_a_command_that_the_broker_may_have_cannot_be_cancelled(cast):
    command = people.command(cast.device)
    (claim,) = outbox.turn([], 10).claims
    outbox.turn([Outcome(claim, Result.UNCLEAR, "No answer.")], 0)
    assert len(cancel(of(command), cast.operator)) == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "sent"}, "It was already sent, at 20"),
        (
            {"status": "acknowledged", "acknowledged_at": timezone.now()},
            "Its device has it, and said",
        ),
        ({"status": "succeeded", "finished_at": timezone.now()}, "It has already succeeded."),
        ({"status": "expired", "finished_at": timezone.now()}, "It has already expired."),
    ],
)
def test_a_command_that_is_further_stays_as_it_is_and_says_why(cast, fields, reason):
    now = timezone.now()
    command = people.command(cast.device, sent_at=now, claimed_at=now, **fields)
    assert len(cancel(of(command), cast.operator)) == 0
    command.refresh_from_db()
    assert command.status == fields["status"]
    assert why_not(command).startswith(reason)


def test_of_many_those_still_queued_are_cancelled_in_few_statements(
    cast, django_assert_num_queries
):
    commands = [people.command(cast.device) for _ in range(20)]
    outbox.turn([], 1)
    with django_assert_num_queries(5):
        assert len(cancel(of(*commands), cast.operator)) == 19


def test_cancelling_while_a_dispatcher_claims_waits_and_then_finds_it_claimed(transactional_db):
    command = people.command(people.cast().device)
    answers = []

    def cancel_beside():
        answers.append(cancel(of(command), None))
        connection.close()

    thread = threading.Thread(target=cancel_beside)
    with transaction.atomic():
        assert len(outbox.turn([], 10).claims) == 1
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join()
    assert answers == [set()]


def test_claiming_while_somebody_cancels_leaves_it_alone(transactional_db):
    command = people.command(people.cast().device)
    claims = []

    def claim_beside():
        claims.append(outbox.turn([], 10).claims)
        connection.close()

    with transaction.atomic():
        assert len(cancel(of(command), None)) == 1
        thread = threading.Thread(target=claim_beside)
        thread.start()
        thread.join(10)
    assert claims == [[]]
    assert outbox.turn([], 10).claims == []


def test_of_a_batch_what_no_dispatcher_has_is_cancelled(cast):
    batch = batch_of(cast, cast.device, people.device("dev-02", cast.t0))
    outbox.turn([], 1)
    assert len(cancel_batch(batch, cast.operator)) == 1
    assert sorted(batch.commands.values_list("status", flat=True)) == ["cancelled", "queued"]


def test_a_batch_notes_when_its_cancelling_was_asked_for_first(cast):
    batch = batch_of(cast, cast.device)
    cancel_batch(batch, None)
    batch.refresh_from_db()
    first = batch.cancelled_at - timedelta(hours=1)
    CommandBatch.objects.update(cancelled_at=first)
    assert len(cancel_batch(batch, None)) == 0
    batch.refresh_from_db()
    assert batch.cancelled_at == first


def batch_of(cast, *devices):
    chosen = Device.objects.filter(pk__in=[device.pk for device in devices])
    return send_to_many(Order("reboot", {}), chosen, cast.t0, {"all": True}, None).what


def test_what_was_sent_is_not_published_again_and_says_who_wanted_that(cast):
    command = people.command(cast.device)
    record(claim_one())
    assert cancel(of(command), cast.operator) == set()
    resume(cast.device)
    assert claims() == []
    assert fresh(command).status == "sent"
    step = command.transitions.last()
    assert (step.status, step.by) == ("sent", "operator@t0.example")
    assert "It will not be published again." in why_not(command)


def test_to_ask_twice_for_what_was_sent_is_one_step(cast):
    command = people.command(cast.device)
    record(claim_one())
    cancel(of(command), cast.operator)
    cancel(of(command), cast.admin)
    assert command.transitions.count() == 3


def test_a_reply_to_what_was_to_be_cancelled_counts(cast):
    command = people.command(cast.device)
    record(claim_one())
    cancel(of(command), None)
    fresh(command).take_reply("ok", None, "", timezone.now())
    assert (command.status, command.is_late) == ("succeeded", False)


def test_a_dispatcher_records_while_a_large_batch_is_being_cancelled(transactional_db):
    cast = people.cast()
    devices = [people.device(f"dev-1{n}", cast.t0) for n in range(20)]
    commands = [people.command(device) for device in devices]
    claimed = claims(5)
    with transaction.atomic():
        assert len(cancel(of(*commands), None)) == 15
        recording = Elsewhere(lambda: outbox.turn([], 10).claims)
        assert recording.result() == []
    for claim in claimed:
        record(claim)
    assert of(*commands).filter(status="sent").count() == 5
