"""The dispatcher: what it publishes, what it makes of the answers, and what it never waits for."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from devices.commands import dispatcher, outbox
from devices.commands.sending import Order, send
from devices.models import Command, DeviceQueue
from devices.mqtt.session import NotSent
from tests import cast as people
from tests.devices.commands.dispatching import SILENCE, FakeSession, dispatching, drain
from tests.iotplatform.processes import wait_until

NEVER = 3_600.0


@pytest.fixture
def cast(transactional_db):
    """A cast that connections of other threads can see."""
    return people.cast()


@pytest.fixture
def _blind(monkeypatch):
    """A dispatcher that does not look by itself."""
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", NEVER)


def status(command):
    command.refresh_from_db()
    return command.status


def is_sent(*commands):
    return all(status(command) == "sent" for command in commands)


def test_a_device_gets_id_name_and_params_as_they_were_queued(cast):
    params = {"delay": 5, "big": 10**30, "text": "é\u2028"}
    command = people.command(cast.device, params=params)
    session = FakeSession()
    drain(session)
    (published,) = session.published
    assert published.topic == "t0/devices/dev-01/commands"
    assert json.loads(published.payload) == {
        "id": str(command.id),
        "cmd": "reboot",
        "params": params,
    }
    assert status(command) == "sent"


def test_a_broker_is_told_how_long_it_is_worth_delivering_and_where_to_reply(cast):
    command = people.command(cast.device)
    session = FakeSession()
    drain(session)
    properties = session.published[0].properties
    assert 86_390 < properties.pop("message_expiry") <= 86_400
    assert properties == {
        "response_topic": "t0/devices/dev-01/replies",
        "correlation_data": str(command.id).encode(),
    }


def test_a_command_that_is_nearly_over_is_worth_a_second_to_the_broker(cast):
    people.command(cast.device, expires_at=timezone.now() + timedelta(seconds=0.9))
    session = FakeSession()
    drain(session)
    assert [each.properties["message_expiry"] for each in session.published] == [1]


def test_the_embedded_broker_gets_no_properties(cast):
    people.command(cast.device)
    session = FakeSession()
    drain(session, with_properties=False)
    assert session.published[0].properties == {}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (0x10, "No subscriber: the device is not connected to the broker."),
        (0x87, "The broker refused the command: not authorized."),
        (0x97, "The broker refused the command: quota exceeded."),
        (NotSent("Not connected to the broker: leaving"), "Not connected to the broker: leaving"),
    ],
)
def test_what_the_broker_did_not_take_stays_queued_with_its_reason(cast, answer, reason):
    command = people.command(cast.device)
    drain(FakeSession(dev_01=answer))
    assert (status(command), command.reason, command.claimed_at) == ("queued", reason, None)
    assert cast.device.queue.look_at > timezone.now()


def test_what_can_never_be_published_fails_with_the_reason_as_its_error(cast):
    command = people.command(cast.device)
    drain(FakeSession(dev_01=ValueError("A message of 9 bytes is too large.")))
    assert (status(command), command.error) == ("failed", "A message of 9 bytes is too large.")


def test_a_command_is_not_published_after_its_life(cast):
    command = send(Order("reboot", {}, timedelta(seconds=1)), cast.device, None).what
    session = FakeSession(dev_01=SILENCE)
    with dispatching(session):
        wait_until(lambda: status(command) == "expired")
    assert session.uids == ["dev-01"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ConnectionError("The broker closed the connection."), "The broker closed the connection."),
        (RuntimeError("x" * 300), f"It could not be published: {'x' * 228}"),
    ],
)
def test_what_the_broker_may_have_is_published_again_and_cannot_be_cancelled(cast, answer, reason):
    command = people.command(cast.device)
    session = FakeSession(dev_01=answer)
    drain(session)
    assert (status(command), command.reason) == ("queued", reason)
    assert command.claimed_at
    assert len(session.published) >= 3


@pytest.mark.parametrize("answer", [0x87, ValueError("no"), RuntimeError("oh"), ConnectionError()])
def test_trouble_with_one_command_is_no_trouble_for_the_others(cast, answer):
    people.command(cast.device)
    others = [people.command(people.device(f"dev-1{n}", cast.t0)) for n in range(3)]
    drain(FakeSession(dev_01=answer))
    assert is_sent(*others)


def test_an_answer_that_does_not_come_keeps_nobody_waiting(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "ANSWER_SECONDS", NEVER)
    people.command(cast.device)
    session = FakeSession(dev_01=SILENCE)
    with dispatching(session):
        wait_until(lambda: session.uids == ["dev-01"])
        foreign = people.command(cast.foreign)
        wait_until(lambda: is_sent(foreign))
        session.answers.clear()


def test_an_answer_is_not_waited_for_until_the_lease_runs_out(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "ANSWER_SECONDS", 0.3)
    command = people.command(cast.device)
    DeviceQueue.objects.update(attempts=9)
    with dispatching(FakeSession(dev_01=SILENCE)):
        wait_until(lambda: status(command) == "queued" and command.reason)
    assert command.reason == "The broker did not answer in time; it may have the command."
    assert command.claimed_at


def test_a_claim_that_took_so_long_that_its_lease_is_nearly_over_is_not_published(
    cast, monkeypatch
):
    monkeypatch.setattr(dispatcher, "ANSWER_SECONDS", 0.0)
    command = people.command(cast.device)
    session = FakeSession()
    drain(session)
    assert session.published == []
    assert status(command) == "queued"


@pytest.mark.usefixtures("_blind")
def test_a_new_command_is_told_to_the_dispatcher(cast):
    session = FakeSession()
    with dispatching(session):
        first = people.command(cast.device)
        wait_until(lambda: is_sent(first))
        second = people.command(cast.device)
        wait_until(lambda: is_sent(second))


@pytest.mark.usefixtures("_blind")
def test_who_is_not_told_any_more_listens_again(cast):
    session = FakeSession()
    with dispatching(session):
        wait_until(end_listener)
        meanwhile = people.command(cast.device)
        wait_until(lambda: is_sent(meanwhile))
        later = people.command(cast.device)
        wait_until(lambda: is_sent(later))


def end_listener():
    """Ends the connection on which a dispatcher listens; whether there was one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return cursor.rowcount


async def deaf(channel, wake):
    """Hears nothing."""


def test_who_is_told_nothing_looks_by_itself(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "listen", deaf)
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.05)
    session = FakeSession()
    with dispatching(session):
        for _ in range(2):
            command = people.command(cast.device)
            wait_until(lambda command=command: is_sent(command))


@pytest.mark.usefixtures("_blind")
def test_word_of_a_command_that_comes_in_the_middle_of_a_look_is_not_lost(cast, monkeypatch):
    looks, go_on = long_looks(monkeypatch)
    with dispatching(FakeSession()) as running:
        assert looks.acquire(timeout=30)
        command = people.command(cast.device)
        running.wake()
        go_on.set()
        wait_until(lambda: is_sent(command))


@pytest.mark.usefixtures("_blind")
def test_a_broker_that_comes_in_the_middle_of_a_look_is_not_overlooked(cast, monkeypatch):
    looks, go_on = long_looks(monkeypatch)
    command = people.command(cast.device)
    session = FakeSession(connected=False)
    with dispatching(session):
        assert looks.acquire(timeout=30)
        session.connected = True
        go_on.set()
        wait_until(lambda: is_sent(command))


def long_looks(monkeypatch):
    """Looks that end when the second of these is set; the first counts those that began."""
    looks, go_on, turn = threading.Semaphore(0), threading.Event(), outbox.turn

    def long_turn(outcomes, limit):
        done = turn(outcomes, limit)
        looks.release()
        go_on.wait()
        return done

    monkeypatch.setattr(dispatcher, "listen", deaf)
    monkeypatch.setattr(outbox, "turn", long_turn)
    return looks, go_on


@pytest.mark.usefixtures("_blind")
def test_commands_that_are_put_off_do_not_put_the_dispatcher_to_sleep(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "ROUND_COMMANDS", 2)
    monkeypatch.setattr(dispatcher, "listen", deaf)
    for n in range(5):
        people.command(people.device(f"away-{n}", cast.t0, session="offline"))
    command = people.command(cast.device)
    with dispatching(FakeSession()):
        wait_until(lambda: is_sent(command))


@pytest.mark.usefixtures("_blind")
def test_all_commands_of_a_device_go_out_without_a_pause(cast):
    commands = [people.command(cast.device) for _ in range(5)]
    session = FakeSession()
    with dispatching(session):
        wait_until(lambda: is_sent(*commands))
    ids = [json.loads(each.payload)["id"] for each in session.published]
    assert ids == [str(each.id) for each in commands]


@pytest.mark.usefixtures("_blind")
def test_without_a_broker_nothing_is_claimed_but_lives_end(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.05)
    command, over = people.command(cast.device), people.command(cast.foreign)
    session = FakeSession(connected=False)
    with dispatching(session):
        begun = timezone.now() - timedelta(days=1)
        Command.objects.filter(pk=over.pk).update(created_at=begun, expires_at=timezone.now())
        wait_until(lambda: status(over) == "expired")
        assert (status(command), command.claimed_at) == ("queued", None)
        monkeypatch.setattr(dispatcher, "LOOK_SECONDS", NEVER)
        session.connected = True
        wait_until(lambda: is_sent(command))
