"""The signs of life of a process: given while it lives, and late rather than in the way."""

import asyncio
import time

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError

from devices.daemon import heartbeat, writer
from devices.daemon.heartbeat import Heart, Sign
from devices.daemon.writer import Writer
from devices.models import Heartbeat, ProcessKind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "FIRST_SECONDS", 0)
    monkeypatch.setattr(heartbeat, "GOODBYE_SECONDS", 0.2)
    monkeypatch.setattr(writer, "pauses", lambda: iter([0.01] * 500))


def live(scenario, *signs):
    """Run `scenario` with a heart that gives `signs`, the last of them for ever."""
    waiting = list(signs or [Sign(None, {})])

    async def main(hand):
        def sign():
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        heart = Heart(ProcessKind.INGESTOR, "test-ingest", hand, sign)
        beating = asyncio.create_task(heart.run())
        try:
            await scenario(heart, hand)
        finally:
            beating.cancel()

    hand = Writer()
    try:
        asyncio.run(main(hand))
    finally:
        hand.close()


async def row_with(hand, **wanted):
    """The row, once it is so."""
    async with asyncio.timeout(10):
        while not (found := await hand.run(Heartbeat.objects.filter(**wanted).first)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


def test_a_process_says_that_it_lives_and_what_waits():
    async def scenario(heart, hand):
        first = await row_with(hand, detail={"n": 1})
        assert (first.kind, first.waiting_since.timestamp()) == ("ingestor", 1_000.5)
        second = await row_with(hand, detail={"n": 2})
        assert second.waiting_since is None
        assert second.beat_at > first.beat_at
        assert second.started_at == first.started_at

    live(scenario, Sign(1_000.5, {"n": 1}), Sign(None, {"n": 2}))
    assert Heartbeat.objects.count() == 1


def test_one_that_begins_anew_under_its_name_says_since_when():
    async def scenario(heart, hand):
        await row_with(hand, started_at=heart._started_at)

    live(scenario)
    live(scenario)
    assert Heartbeat.objects.count() == 1


def test_two_processes_of_one_client_id_have_a_row_each(monkeypatch):
    hand = Writer()
    names = {Heart(ProcessKind.DISPATCHER, "c", hand, Sign).name}
    monkeypatch.setattr(heartbeat.os, "getpid", lambda: 1)
    names.add(Heart(ProcessKind.DISPATCHER, "c", hand, Sign).name)
    hand.close()
    assert len(names) == 2


def test_one_that_ends_in_order_takes_its_row_back():
    async def scenario(heart, hand):
        await row_with(hand, kind="ingestor")

    async def ending(heart, hand):
        await scenario(heart, hand)
        (beating,) = asyncio.all_tasks() - {asyncio.current_task()}
        beating.cancel()
        await heart.stop()

    live(ending)
    assert not Heartbeat.objects.exists()
    live(scenario)
    assert Heartbeat.objects.exists()


def ill(*_):
    raise OperationalError from psycopg.OperationalError()


def strange(*_):
    raise ProgrammingError from psycopg.errors.UndefinedTable()


@pytest.mark.parametrize("trouble", [ill, strange])
def test_while_no_sign_can_be_written_the_work_goes_on(monkeypatch, trouble):
    async def scenario(heart, hand):
        beat, faults = heart._beat, [trouble] * 3
        monkeypatch.setattr(heart, "_beat", lambda sign: (faults.pop() if faults else beat)(sign))
        assert await hand.run(lambda: "work") == "work"
        await row_with(hand, kind="ingestor")
        assert not faults

    live(scenario)


def test_an_ill_database_does_not_keep_a_process_from_ending(monkeypatch):
    async def scenario(heart, hand):
        await row_with(hand, kind="ingestor")
        monkeypatch.setattr(hand, "_do", ill)
        began = time.monotonic()
        await heart.stop()
        assert time.monotonic() - began < 5

    live(scenario)
    assert Heartbeat.objects.exists()
