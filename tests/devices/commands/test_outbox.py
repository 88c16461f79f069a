"""What waits to be published: whose turn it is, what became of it, and when it is tried again."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.commands import outbox
from devices.commands.cancelling import cancel
from devices.commands.outbox import Outcome, Result
from devices.models import Command, CommandTransition, Device, DeviceQueue
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
from tests.queries import plan_of


@pytest.fixture
def dev(cast):
    return cast.device


def test_a_claim_has_all_that_is_to_be_published(dev):
    command = people.command(dev)
    claim = claim_one()
    assert (claim.number, claim.id) == (command.number, command.id)
    assert (claim.tenant, claim.uid) == ("t0", "dev-01")
    assert (claim.cmd, claim.params) == ("reboot", '{"delay": 5}')
    assert 86_390 < claim.left <= 86_400
    assert claim.lease == queue_of(dev).leased_until
    assert claim.claimed_at == fresh(command).claimed_at


def test_what_the_broker_took_is_sent_and_not_published_again(dev):
    command = people.command(dev)
    record(claim_one())
    assert (fresh(command).status, command.published_at) == ("sent", command.claimed_at)
    assert command.sent_at >= command.claimed_at
    assert steps(command) == [("queued", ""), ("sent", "")]
    wait_for(60)
    assert claims() == []


def test_what_the_broker_took_a_while_ago_was_sent_then(dev):
    command = people.command(dev)
    claim = claim_one()
    outbox.turn([Outcome(claim, Result.TAKEN, at=time.monotonic() - 5)], 0)
    assert -6 < (fresh(command).sent_at - timezone.now()).total_seconds() < -5
    assert command.transitions.get(status="sent").at == command.sent_at


def test_commands_of_a_device_go_one_after_the_other(dev):
    commands = [people.command(dev) for _ in range(3)]
    for command in commands:
        claim = claim_one()
        assert claim.id == command.id
        assert claims() == []
        record(claim)


def test_the_outcome_of_one_and_the_claim_of_the_next_are_one_turn(dev):
    first, second = people.command(dev), people.command(dev)
    (claim,) = claims(outcomes=[Outcome(claim_one(), Result.TAKEN)])
    assert claim.id == second.id
    assert fresh(first).status == "sent"


def test_devices_do_not_wait_for_each_other(cast):
    first, foreign = people.command(cast.device), people.command(cast.foreign)
    assert {claim.id for claim in claims()} == {first.id, foreign.id}


def test_no_more_are_claimed_than_asked_for_and_it_is_known_that_there_are_more(cast):
    for device in (cast.device, cast.foreign):
        people.command(device)
    first, second, third = (outbox.turn([], 1) for _ in range(3))
    assert [len(turn.claims) for turn in (first, second, third)] == [1, 1, 0]
    assert (first.has_more, third.has_more) == (True, False)


def test_a_claim_whose_dispatcher_never_came_back_runs_out(dev):
    people.command(dev)
    lost = claim_one()
    wait_for(outbox.LEASE_SECONDS - 1)
    assert claims() == []
    wait_for(1)
    assert claim_one().id == lost.id


def test_an_outcome_that_comes_after_the_lease_ran_out_is_a_fact_all_the_same(dev):
    command = people.command(dev)
    late = claim_one()
    wait_for(outbox.LEASE_SECONDS)
    second = claim_one()
    record(late)
    assert (fresh(command).status, queue_of(dev).leased_until) == ("sent", second.lease)
    record(second)
    assert claims() == []
    assert fresh(command).published_at == second.claimed_at


def everything():
    models = (Command, CommandTransition, DeviceQueue)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_a_turn_that_is_repeated_since_the_answer_to_its_commit_was_lost_changes_nothing(dev):
    people.command(dev)
    people.command(dev)
    outcomes = [Outcome(claim_one(), Result.TAKEN)]
    outbox.turn(outcomes, 10)
    before = everything()
    assert claims(outcomes=outcomes) == []
    assert everything() == before


def test_a_refusal_that_is_repeated_does_not_put_off_twice(dev):
    people.command(dev)
    outcomes = [Outcome(claim_one(), Result.NOT_TAKEN, "No subscriber.")]
    outbox.turn(outcomes, 0)
    before = everything()
    outbox.turn(outcomes, 0)
    assert everything() == before


def test_a_command_that_nobody_got_waits_longer_with_each_attempt_up_to_a_minute(dev):
    command, delays = people.command(dev), []
    for _ in range(8):
        record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
        delays.append(delay_of(dev))
        wait_for(60)
    for delay, longest in zip(delays, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.75 * longest - 0.5 < delay <= longest
    assert fresh(command).status == "queued"
    assert (command.reason, command.claimed_at) == ("No subscriber.", None)


def test_a_command_that_somebody_may_have_is_published_again_at_once(dev):
    command = people.command(dev)
    claim = claim_one()
    record(claim, Result.UNCLEAR, "No answer.")
    assert (fresh(command).status, command.reason) == ("queued", "No answer.")
    assert claim_one().id == claim.id


def test_a_command_that_is_unclear_again_and_again_waits_for_a_while(dev):
    people.command(dev)
    DeviceQueue.objects.update(attempts=6)
    record(claim_one(), Result.UNCLEAR, "No answer.")
    assert 0 < delay_of(dev) < 60


def test_that_nobody_got_it_says_nothing_of_an_earlier_attempt(dev):
    command = people.command(dev)
    record(claim_one(), Result.UNCLEAR, "No answer.")
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    assert cancel(Command.objects.filter(pk=command.pk), None) == set()


def test_what_can_never_be_published_fails_and_makes_way(dev):
    first, second = people.command(dev), people.command(dev)
    outcome = Outcome(claim_one(), Result.IMPOSSIBLE, "Larger than the broker takes.")
    (claim,) = claims(outcomes=[outcome])
    assert claim.id == second.id
    assert (fresh(first).status, first.error) == ("failed", "Larger than the broker takes.")
    assert steps(first)[-1] == ("failed", "Larger than the broker takes.")


def test_a_device_with_trouble_delays_no_other(cast):
    people.command(cast.device)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    foreign = people.command(cast.foreign)
    assert claim_one().id == foreign.id


def test_a_reply_that_comes_before_the_outcome_is_not_undone(dev):
    command = people.command(dev)
    claim = claim_one()
    now = timezone.now()
    moved = fresh(command).take_reply("ok", {"done": True}, "", now)
    command.save()
    CommandTransition.objects.bulk_create(moved)
    record(claim)
    assert fresh(command).status == "succeeded"
    assert command.sent_at
    assert [status for status, _ in steps(command)] == ["queued", "succeeded"]


def test_a_new_session_has_what_was_sent_published_again_and_in_order(dev):
    first, second = people.command(dev), people.command(dev)
    record(claim_one())
    record(claim_one())
    resume(dev)
    for command in (first, second):
        claim = claim_one()
        assert claim.id == command.id
        record(claim)
    assert steps(first)[-1] == ("sent", "Published again, as its device had not answered.")


def test_a_new_session_begins_the_attempts_anew(dev):
    command = people.command(dev)
    DeviceQueue.objects.update(attempts=6)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    resume(dev)
    assert claim_one().id == command.id
    assert queue_of(dev).attempts == 1


def test_a_new_session_during_the_flight_has_it_published_again(dev):
    command = people.command(dev)
    claim = claim_one()
    resume(dev)
    record(claim)
    assert fresh(command).status == "sent"
    assert claim_one().id == command.id


def test_of_two_outcomes_of_one_command_the_later_one_counts(dev):
    command = people.command(dev)
    first = claim_one()
    resume(dev)
    second = claim_one()
    outbox.turn([Outcome(each, Result.TAKEN) for each in (first, second, first)], 0)
    assert fresh(command).status == "sent"
    assert claims() == []


@pytest.mark.parametrize("status", ["acknowledged", "succeeded", "cancelled"])
def test_what_a_device_answered_or_what_is_over_is_not_published_again(dev, status):
    now = timezone.now()
    over = {} if status == "acknowledged" else {"finished_at": now}
    people.command(dev, status=status, sent_at=now, published_at=now, **over)
    resume(dev)
    assert claims() == []


def test_a_lost_broker_has_the_commands_of_all_devices_published_again(cast):
    for device in (cast.device, cast.foreign):
        people.command(device)
    for claim in claims():
        record(claim)
    with connection.cursor() as cursor:
        outbox.resume_all(cursor)
    assert len(claims()) == 2


def test_what_is_over_its_time_expires_with_the_reason_why_it_went_no_further(dev):
    command = people.command(dev)
    record(claim_one(), Result.NOT_TAKEN, "No subscriber.")
    expire(command)
    assert outbox.turn([], 0).expired == 1
    assert fresh(command).status == "expired"
    assert command.finished_at == command.expires_at
    assert steps(command) == [("queued", ""), ("expired", "No subscriber.")]
    assert outbox.turn([], 0).expired == 0


@pytest.mark.parametrize("status", ["sent", "acknowledged"])
def test_what_was_sent_expires_as_well(dev, status):
    command = people.command(dev, status=status, sent_at=timezone.now())
    expire(command)
    outbox.turn([], 0)
    assert fresh(command).status == "expired"


def test_what_is_over_its_time_is_not_published_even_if_nobody_has_ended_it_yet(dev, monkeypatch):
    monkeypatch.setattr(outbox, "EXPIRE_ROWS", 0)
    expire(people.command(dev))
    assert claims() == []


def test_a_backlog_of_expired_commands_is_ended_part_by_part(dev, monkeypatch):
    monkeypatch.setattr(outbox, "EXPIRE_ROWS", 2)
    for _ in range(3):
        expire(people.command(dev))
    turns = [outbox.turn([], 0) for _ in range(2)]
    assert [(turn.expired, turn.has_more) for turn in turns] == [(2, True), (1, False)]


def test_the_statements_of_a_turn_do_not_grow_with_the_commands(cast, django_assert_num_queries):
    devices = [people.device(f"dev-1{n}", cast.t0) for n in range(10)]
    for device in devices * 2:
        people.command(device)
    outcomes = [
        Outcome(claim, Result.TAKEN if n % 2 else Result.NOT_TAKEN)
        for n, claim in enumerate(claims(10))
    ]
    # Besides a savepoint, which is a transaction elsewhere.
    with django_assert_num_queries(2 + 12):
        assert len(claims(10, outcomes)) == 5


def parked(tenant, count):
    """Devices that are offline, each with a command that waits for it."""
    devices = Device.objects.bulk_create(
        Device(device_uid=f"away-{n}", name="Away", tenant=tenant) for n in range(count)
    )
    later = timezone.now() + timedelta(days=1)
    Command.objects.bulk_create(
        Command(tenant=tenant, device=each, cmd="ping", expires_at=later) for each in devices
    )
    DeviceQueue.objects.bulk_create(DeviceQueue(device=each, look_at=later) for each in devices)


def test_a_turn_finds_what_is_due_by_index_among_many_that_wait(cast):
    parked(cast.t0, 3_000)
    people.command(cast.device)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_command, devices_devicequeue")
        with CaptureQueriesContext(connection) as captured:
            assert len(claims()) == 1
        # The turn forbade the others.
        cursor.execute("SET LOCAL enable_seqscan = on")
    said = [query["sql"] for query in captured]
    for words, index in (
        ("SELECT device_id FROM devices_devicequeue", "queue_due"),
        ("SELECT queue.device_id, slug", "command_open_by_device"),
        ("WITH over AS", "command_expiring"),
    ):
        (statement,) = [sql for sql in said if sql.strip().startswith(words)]
        assert index in {node.get("Index Name") for node in plan_of(statement)}
