"""Several dispatchers at the same rows, and devices that come back in the middle of a claim."""

import random
import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from devices.commands import outbox
from devices.commands.outbox import Outcome, Result
from devices.models import Command, DeviceState
from tests import cast as people
from tests.devices.test_races import meanwhile, wait_until_blocked


@pytest.fixture
def cast(transactional_db):
    """A cast that connections of other threads can see."""
    return people.cast()


class Elsewhere:
    """Work in a thread with a connection of its own."""

    def __init__(self, work):
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self._result = self._work()
        finally:
            connection.close()

    def result(self):
        self._thread.join()
        return self._result


def claims(limit=10, outcomes=()):
    return outbox.turn(outcomes, limit).claims


def come_online(device):
    with transaction.atomic(), connection.cursor() as cursor:
        DeviceState.objects.filter(device=device).update(session="online")
        outbox.resume(cursor, [device.pk])


def test_two_who_claim_share_nothing_and_overtake_nobody(cast):
    first = people.command(cast.device)
    people.command(cast.device)
    foreign = people.command(cast.foreign)
    with transaction.atomic():
        assert [claim.id for claim in claims(1)] == [first.id]
        assert [claim.id for claim in Elsewhere(claims).result()] == [foreign.id]


def test_a_device_that_comes_online_in_the_middle_of_a_claim_is_not_put_to_sleep(cast, monkeypatch):
    people.command(cast.device)
    DeviceState.objects.create(device=cast.device, session="offline")
    claim, others = outbox._claim, []

    def late_claim(cursor, numbers):
        others.append(Elsewhere(lambda: come_online(cast.device)))
        wait_until_blocked()
        return claim(cursor, numbers)

    monkeypatch.setattr(outbox, "_claim", late_claim)
    assert claims() == []
    others[0].result()
    monkeypatch.undo()
    assert len(claims()) == 1


def test_a_command_does_not_overtake_one_that_became_due_in_the_middle_of_a_claim(
    cast, monkeypatch
):
    first, second = people.command(cast.device), people.command(cast.device)
    outbox.turn([Outcome(each, Result.TAKEN) for each in claims()], 0)
    claim = outbox._claim

    def late_claim(cursor, numbers):
        assert numbers == [second.number]
        again = Command.objects.filter(pk=first.pk)
        Elsewhere(lambda: again.update(publish_at=timezone.now())).result()
        return claim(cursor, numbers)

    monkeypatch.setattr(outbox, "_claim", late_claim)
    assert claims() == []
    monkeypatch.undo()
    assert [each.id for each in claims()] == [first.id]


def test_outcomes_of_all_kinds_are_recorded_in_one_order(cast):
    people.command(cast.device)
    people.command(cast.foreign)
    low, high = claims()
    outcomes = [Outcome(high, Result.TAKEN), Outcome(low, Result.NOT_TAKEN, "No subscriber.")]

    def lock(claim):
        list(Command.objects.filter(pk=claim.number).select_for_update())

    # Who holds the lower one and asks for the higher one would else meet the turn half-way.
    turn = meanwhile(lambda: outbox.turn(outcomes, 0), lambda: lock(low), then=lambda: lock(high))
    assert turn.claims == []


@transaction.atomic
def retry():
    """Have those published again at once that were unlucky."""
    unlucky = Command.objects.filter(reason="Unlucky.").select_for_update(skip_locked=True)
    numbers = list(unlucky.values_list("pk", flat=True))
    Command.objects.filter(pk__in=numbers).update(publish_at=timezone.now(), reason="")


def work(seed, taken):
    """A dispatcher that has some luck, until nothing is left to publish."""
    luck, outcomes = random.Random(seed), []
    while outcomes or Command.objects.filter(status="queued").exists():
        retry()
        claimed = claims(5, outcomes)
        outcomes = []
        for claim in claimed:
            if luck.random() < 0.5:
                taken.append((claim.uid, claim.number))
                outcomes.append(Outcome(claim, Result.TAKEN))
            else:
                outcomes.append(Outcome(claim, Result.NOT_TAKEN, "Unlucky."))


def test_many_dispatchers_keep_the_order_of_every_device(cast):
    devices = [people.device(f"dev-1{n}", cast.t0) for n in range(8)]
    numbers = [(each.device_uid, people.command(each).number) for each in devices * 4]
    taken = []
    dispatchers = [Elsewhere(lambda seed=seed: work(seed, taken)) for seed in range(3)]
    for each in dispatchers:
        each.result()
    assert sorted(taken) == sorted(numbers)
    for device in devices:
        published = [number for uid, number in taken if uid == device.device_uid]
        assert published == sorted(published)
