"""Every way to end a dispatcher, and the line in which it says what it did."""

import logging
import time
from types import SimpleNamespace

import psycopg
import pytest
from django.db import utils

from devices.commands import dispatcher, outbox, statements
from devices.commands.dispatcher import NotConnected, Report, meaning_of
from devices.commands.outbox import Outcome, Result
from devices.models import Command
from devices.mqtt.session import SessionTakenOver
from tests import cast as people
from tests.devices.commands.dispatching import SILENCE, FakeSession, dispatching, drain
from tests.iotplatform.processes import wait_until

CLAIM = SimpleNamespace(id="id")


@pytest.fixture
def cast(transactional_db):
    """A cast that connections of other threads can see."""
    return people.cast()


def statuses():
    return set(Command.objects.values_list("status", flat=True))


def test_a_drain_publishes_all_that_is_due_and_ends(cast, monkeypatch):
    monkeypatch.setattr(dispatcher, "ROUND_COMMANDS", 2)
    for n in range(5):
        people.command(people.device(f"dev-1{n}", cast.t0))
    drain(FakeSession())
    assert statuses() == {"sent"}


def test_a_drain_that_finds_no_broker_says_so(db, monkeypatch):
    monkeypatch.setattr(dispatcher, "CONNECT_SECONDS", 0.1)
    with pytest.raises(ExceptionGroup) as raised:
        drain(FakeSession(connected=False))
    assert isinstance(raised.value.exceptions[0], NotConnected)


def test_a_drain_that_waits_for_its_broker_can_be_stopped(transactional_db, monkeypatch):
    monkeypatch.setattr(dispatcher, "STOP_SECONDS", 60)
    began = time.monotonic()
    with dispatching(FakeSession(connected=False), drain=True):
        pass
    assert time.monotonic() - began < 10


def test_an_idle_dispatcher_ends_at_once(transactional_db, monkeypatch):
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 60)
    began = time.monotonic()
    with dispatching(FakeSession()):
        pass
    assert time.monotonic() - began < 10


def test_answers_that_come_during_the_stop_are_recorded(cast):
    people.command(cast.device)
    session = FakeSession(dev_01=SILENCE)
    with dispatching(session) as running:
        wait_until(lambda: session.uids == ["dev-01"])
        running.stop()
        wait_until(running.dispatcher._stopping.is_set)
        session.answers.clear()
        running.join()
    assert statuses() == {"sent"}


def test_answers_that_do_not_come_are_not_waited_for(cast, monkeypatch, caplog):
    monkeypatch.setattr(dispatcher, "LAST_ANSWERS_SECONDS", 0.1)
    people.command(cast.device)
    session = FakeSession(dev_01=SILENCE)
    with dispatching(session) as running:
        wait_until(lambda: session.uids == ["dev-01"])
        running.stop()
        running.join()
    assert statuses() == {"queued"}
    assert "1 of the last commands" in caplog.text


def test_a_database_that_does_not_come_back_is_not_waited_for(cast, monkeypatch, caplog):
    def away(*_):
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(dispatcher, "STOP_SECONDS", 0.2)
    people.command(cast.device)
    session = FakeSession(dev_01=SILENCE)
    with dispatching(session) as running:
        wait_until(lambda: session.uids == ["dev-01"])
        monkeypatch.setattr(outbox, "turn", away)
        session.answers.clear()
        wait_until(lambda: "The database cannot now" in caplog.text)
    assert "1 of the last commands" in caplog.text
    assert running.dispatcher.report.line().startswith("dispatch published=0")


def test_what_was_not_recorded_because_the_database_was_away_is_recorded_later(cast, monkeypatch):
    turn, errors = outbox.turn, [psycopg.OperationalError("away")] * 2

    def sometimes_away(outcomes, limit):
        if outcomes and errors:
            raise errors.pop()
        return turn(outcomes, limit)

    monkeypatch.setattr(outbox, "turn", sometimes_away)
    people.command(cast.device)
    drain(FakeSession())
    assert statuses() == {"sent"}


def test_a_fault_of_ours_ends_it_loudly(transactional_db, monkeypatch):
    monkeypatch.setattr(statements, "DUE", "SELECT nonsense")
    with pytest.raises(ExceptionGroup) as raised:
        drain(FakeSession())
    assert isinstance(raised.value.exceptions[0], utils.ProgrammingError)


def test_a_session_that_somebody_took_over_ends_it(transactional_db):
    class Lost(FakeSession):
        async def run(self):
            raise SessionTakenOver("Another client has connected with this client id.")

    with pytest.raises(ExceptionGroup) as raised, dispatching(Lost()) as running:
        running.join()
    assert isinstance(raised.value.exceptions[0], SessionTakenOver)


@pytest.mark.parametrize("code", [0x10, 0x80, 0x83, 0x87, 0x8F, 0x90, 0x91, 0x97, 0x99])
def test_every_answer_of_a_broker_but_success_has_a_reason_for_people(code):
    result, reason = meaning_of(code)
    assert (result, reason[-1]) == (Result.NOT_TAKEN, ".")


def test_the_report_counts_in_one_line():
    report = Report()
    refused = "The broker refused the command: not authorized."
    outcomes = [
        Outcome(CLAIM, Result.TAKEN),
        Outcome(CLAIM, Result.TAKEN),
        Outcome(CLAIM, Result.NOT_TAKEN, dispatcher.NO_SUBSCRIBER),
        Outcome(CLAIM, Result.NOT_TAKEN, refused),
        Outcome(CLAIM, Result.UNCLEAR, "No answer."),
    ]
    report.add(outcomes, 3)
    line = "dispatch published=5 taken=2 no_subscriber=1 refused=1 unclear=1 expired=3"
    assert report.line() == line


def test_only_news_are_reported(cast, monkeypatch, caplog):
    monkeypatch.setattr(dispatcher, "REPORT_SECONDS", 0.02)
    caplog.set_level(logging.INFO)
    session = FakeSession()
    with dispatching(session):
        people.command(cast.device)
        wait_until(lambda: "published=1 taken=1" in caplog.text)
        time.sleep(0.2)
        lines = [line for line in caplog.messages if line.startswith("dispatch ")]
    assert len(lines) == 1
