"""Several dispatchers at the same rows, and devices that come back in the middle of a claim."""

import random
import threading
import time

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from devices.commands import outbox
from devices.commands.outbox import Outcome, Result
from devices.models import Command, DeviceQueue, DeviceState
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

    def late_claim(cursor, devices):
        others.append(Elsewhere(lambda: come_online(cast.device)))
        wait_until_blocked()
        return claim(cursor, devices)

    monkeypatch.setattr(outbox, "_claim", late_claim)
    assert claims() == []
    others[0].result()
    monkeypatch.undo()
    assert len(claims()) == 1


def test_a_command_that_is_queued_while_its_device_comes_online_is_not_put_to_sleep(cast):
    DeviceState.objects.create(device=cast.device, session="offline")
    with transaction.atomic():
        come_online(cast.device)
        sender = Elsewhere(lambda: people.command(cast.device))
        wait_until_blocked()
        # Nobody else sees the device online yet, nor its command.
        assert Elsewhere(claims).result() == []
    command = sender.result()
    assert [claim.id for claim in claims()] == [command.id]


def test_a_device_that_comes_online_while_its_first_command_is_queued_is_not_put_to_sleep(cast):
    DeviceState.objects.create(device=cast.device, session="offline")
    with transaction.atomic():
        command = people.command(cast.device)
        device = Elsewhere(lambda: come_online(cast.device))
        wait_until_blocked()
    device.result()
    assert [claim.id for claim in claims()] == [command.id]


def test_a_command_that_somebody_is_cancelling_is_not_waited_for(cast):
    command, foreign = people.command(cast.device), people.command(cast.foreign)
    with transaction.atomic():
        Command.objects.select_for_update().get(pk=command.pk)
        assert [claim.id for claim in Elsewhere(claims).result()] == [foreign.id]
    time.sleep(0.1)
    assert [claim.id for claim in claims()] == [command.id]


def test_outcomes_of_all_kinds_are_recorded_in_one_order(cast):
    people.command(cast.device)
    people.command(cast.foreign)
    low, high = sorted(claims())
    outcomes = [Outcome(high, Result.TAKEN), Outcome(low, Result.NOT_TAKEN, "No subscriber.")]

    def lock(claim):
        list(DeviceQueue.objects.filter(device=claim.device_id).select_for_update())

    # Who holds the lower one and asks for the higher one would else meet the turn half-way.
    turn = meanwhile(lambda: outbox.turn(outcomes, 0), lambda: lock(low), then=lambda: lock(high))
    assert turn.claims == []


def work(seed, taken):
    """A dispatcher that has some luck, until nothing is left to publish."""
    luck, outcomes = random.Random(seed), []
    while outcomes or Command.objects.filter(status="queued").exists():
        DeviceQueue.objects.filter(look_at__gt=Now()).update(look_at=Now())
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
