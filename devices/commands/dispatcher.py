"""From the rows to the broker, and back to the rows with what the broker made of them.

A round claims commands, publishes all of them, and the transaction that claims the next records
what became of these. What it does not live to record is published again when its lease runs out.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
from mqtt5 import PubAckReasonCode
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from devices.alerts.alarm import Alarm
from devices.brokers.carrier import Carrier
from devices.commands import outbox
from devices.commands.outbox import LEASE_SECONDS, Claim, Outcome, Result, Turn
from devices.daemon.heartbeat import Heart, Sign
from devices.daemon.wakeups import listen
from devices.daemon.writer import Writer
from devices.models import ProcessKind
from devices.models.commands import REASON_LENGTH
from devices.mqtt import topics
from devices.mqtt.session import NotSent, Session

logger = logging.getLogger(__name__)

ROUND_COMMANDS = 500
LOOK_SECONDS = 5.0
# From the beginning of the transaction that claims. What is left of the lease is for the network:
# nobody else publishes a command while the broker may still be getting it from us.
ANSWER_SECONDS = LEASE_SECONDS - 5.0
# A round that waits for a few last answers does not keep others waiting for longer.
ROUND_SECONDS = 0.5
REPORT_SECONDS = 10.0
CONNECT_SECONDS = 30.0
# With taking leave of the broker less than the ten seconds that Docker grants.
LAST_ANSWERS_SECONDS = 3.0
STOP_SECONDS = 5.0

NO_SUBSCRIBER = "No subscriber: the device is not connected to the broker."
TOO_LATE = "The database took so long to hand it out that its time was over."
NO_ANSWER = "The broker did not answer in time; it may have the command."
# Longer than the longest pause between attempts at an ill database, together with one of these.
STUCK_SECONDS = 60.0
STUCK = (
    "No command has been looked for in {seconds:.0f} s, though the database does not keep it from "
    "that: start this process anew, and keep its log for a report."
)
REFUSED = 0x80
ENDS = ("taken", "no_subscriber", "refused", "unclear")


class NotConnected(Exception):
    """A drain could not begin or go on: the broker was not reached in time."""


class Dispatcher:
    """Publishes through `session` what `writer` claims, until told to stop.

    Without `with_properties` the messages are such as MQTT 3.1.1 has, too. A `carrier` works beside
    it, with the same session; so does an `alarm`, which needs none, but not in a drain.
    """

    def __init__(
        self,
        session: Session,
        writer: Writer,
        name: str,
        *,
        with_properties: bool,
        carrier: Carrier | None = None,
        alarm: Alarm | None = None,
    ) -> None:
        self.session = session
        self.writer = writer
        self.carrier = carrier
        self.alarm = alarm
        self.report = Report()
        self._heart = Heart(ProcessKind.DISPATCHER, name, writer, self._sign)
        self._with_properties = with_properties
        self._flying: set[asyncio.Task[Outcome]] = set()
        self._outcomes: list[Outcome] = []
        self._pause = LOOK_SECONDS
        self._turned_at = time.monotonic()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, *, drain: bool = False) -> None:
        """Work until `stop`; with `drain` only until nothing is due."""
        try:
            async with asyncio.TaskGroup() as group:
                connection = group.create_task(self.session.run())
                others = [group.create_task(work) for work in self._beside()]
                work = {group.create_task(each) for each in self._work(drain=drain)}
                done = group.create_task(asyncio.wait(work))
                stop = group.create_task(self._stopping.wait())
                await asyncio.wait({done, stop}, return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
                await self._finish(work)
                for task in others:
                    task.cancel()
                self.session.stop()
                await connection
                await self._heart.stop()
        finally:
            logger.info("%s", self.report.line(), extra={"counts": self.report.counts()})

    def stop(self) -> None:
        """Have the broker's answers to what is in hand recorded, then end `run`."""
        self._stopping.set()
        for each in (self.carrier, self.alarm):
            if each:
                each.stop()

    def wake(self) -> None:
        """Look for work now, or once more if that is going on."""
        self._woken.set()

    def trouble(self) -> str:
        """Why this process has to be started anew, if it has.

        That broker or database are away is no reason: another process would find them no better.
        Without a broker there are turns nevertheless, and an attempt at the database that failed
        not long ago shows that we go on trying.
        """
        seconds = time.monotonic() - max(self._turned_at, self.writer.failed_at)
        return STUCK.format(seconds=seconds) if seconds > STUCK_SECONDS else ""

    def figures(self) -> Iterator[Metric]:
        """What this process tells of its commands."""
        counts = self.report.counts()
        published = CounterMetricFamily(
            "iotplatform_commands_published",
            "Commands given to the broker, by what it made of them.",
            labels=["result"],
        )
        for end in ENDS:
            published.add_metric([end], counts[end])
        yield published
        yield CounterMetricFamily(
            "iotplatform_commands_expired",
            "Commands that this dispatcher found to have run out.",
            value=counts["expired"],
        )

    def _work(self, *, drain: bool) -> list[Coroutine[Any, Any, None]]:
        carrying = [self.carrier.run(drain=drain)] if self.carrier else []
        watching = [self.alarm.run()] if self.alarm and not drain else []
        return [self._drain() if drain else self._dispatch(), *carrying, *watching]

    def _beside(self) -> list[Coroutine[Any, Any, None]]:
        return [listen(outbox.CHANNEL, self.wake), self._report(), self._heart.run()]

    def _sign(self) -> Sign:
        # What waits for dispatchers is in the database, the same for all of them.
        return Sign(None, {"connected": self.session.connected, **self.report.counts()})

    async def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            if not await self._round():
                # What is put off becomes due without a word.
                waits = self.session.wait_until_connected, self._woken.wait
                await self._wait(waits[self.session.connected], self._pause)
        await self._record_the_last()

    async def _drain(self) -> None:
        while not self._stopping.is_set():
            await self._wait(self.session.wait_until_connected, CONNECT_SECONDS)
            if self.session.connected:
                if not await self._round():
                    break
            elif not self._stopping.is_set():
                raise NotConnected(
                    f"The broker was not reached in {CONNECT_SECONDS:.0f} s; see the lines above."
                )
        await self._record_the_last()

    async def _round(self) -> bool:
        """Whether it is worth while to look for more at once."""
        self._land()
        # Without a broker nothing is claimed, but lives go on ending.
        limit = ROUND_COMMANDS - len(self._flying) if self.session.connected else 0
        turn, began = await self._turn(limit)
        self._pause = LOOK_SECONDS if turn.wait is None else min(turn.wait, LOOK_SECONDS)
        for claim in turn.claims:
            publishing = self._publish(claim, began)
            self._flying.add(asyncio.create_task(publishing))
        if self._flying:
            await asyncio.wait(self._flying, timeout=ROUND_SECONDS)
        came_meanwhile = not limit and self.session.connected
        return bool(self._flying) or turn.has_more or came_meanwhile

    def _land(self) -> None:
        """Take in the outcomes of what is done."""
        landed = {task for task in self._flying if task.done()}
        self._flying -= landed
        self._outcomes += [task.result() for task in landed]

    async def _turn(self, limit: int) -> tuple[Turn, float]:
        """A turn of the outbox, and when it began."""
        turn, began = await self.writer.run(partial(timed_turn, self._outcomes, limit))
        self._turned_at = time.monotonic()
        self.report.add(self._outcomes, turn.expired)
        self._outcomes = []
        return turn, began

    async def _wait(self, event: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> None:
        """Until `event` or a stop, and no longer than `seconds`."""
        waiting = {asyncio.create_task(wait()) for wait in (event, self._stopping.wait)}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _record_the_last(self) -> None:
        """Record what the broker answers within some seconds; the rest will be published again."""
        if self._flying:
            await asyncio.wait(self._flying, timeout=LAST_ANSWERS_SECONDS)
        self._land()
        if self._outcomes:
            await self._turn(0)

    async def _finish(self, work: set[asyncio.Task[None]]) -> None:
        await asyncio.wait(work, timeout=STOP_SECONDS)
        if unrecorded := len(self._outcomes) + len(self._flying):
            logger.error(
                "Stopping without a record of what became of %d of the last commands; they will "
                "be published again.",
                unrecorded,
            )
        for task in (*work, *self._flying):
            task.cancel()

    async def _publish(self, claim: Claim, began: float) -> Outcome:
        """Publish a command that was claimed at `began`, whatever the trouble.

        So no other suffers from it. Both times are of the clock of the event loop: that of the wall
        may differ from the one of the database, which the life of a command goes by.
        """
        deadline = began + min(ANSWER_SECONDS, claim.left)
        result, reason = await self._attempt(claim, began + claim.left, deadline)
        return Outcome(claim, result, reason[:REASON_LENGTH], at=time.monotonic())

    async def _attempt(self, claim: Claim, end: float, deadline: float) -> tuple[Result, str]:
        if time.monotonic() >= deadline:
            return Result.NOT_TAKEN, TOO_LATE
        try:
            async with asyncio.timeout_at(deadline):
                return meaning_of(await self.session.publish(**self._message(claim, end)))
        except TimeoutError:
            return Result.UNCLEAR, NO_ANSWER
        except NotSent as error:
            return Result.NOT_TAKEN, str(error)
        except ConnectionError as error:
            return Result.UNCLEAR, str(error)
        except ValueError as error:
            return Result.IMPOSSIBLE, str(error)
        except Exception as error:
            logger.exception("Command %s could not be published.", claim.id)
            return Result.UNCLEAR, f"It could not be published: {error}"

    def _message(self, claim: Claim, end: float) -> dict[str, Any]:
        """What `Session.publish` is called with; `end` is that of the command's life."""
        message = {
            "topic": topics.build(claim.tenant, claim.uid, "commands"),
            "payload": body(claim),
        }
        if not self._with_properties:
            return message
        return message | {
            "message_expiry": max(1, int(end - time.monotonic())),
            "response_topic": topics.build(claim.tenant, claim.uid, "replies"),
            "correlation_data": str(claim.id).encode(),
        }

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if self.report.has_news:
                logger.info("%s", self.report.line(), extra={"counts": self.report.counts()})


def timed_turn(outcomes: Sequence[Outcome], limit: int) -> tuple[Turn, float]:
    """A turn of the outbox, in the writer's thread, and when it began: leases run from there."""
    began = time.monotonic()
    return outbox.turn(outcomes, limit), began


def body(claim: Claim) -> bytes:
    """What the device gets."""
    params = orjson.Fragment(claim.params)
    return orjson.dumps({"id": str(claim.id), "cmd": claim.cmd, "params": params})


def meaning_of(code: int) -> tuple[Result, str]:
    """What the reason code of the broker's PUBACK says."""
    if code == PubAckReasonCode.NO_MATCHING_SUBSCRIBERS:
        return Result.NOT_TAKEN, NO_SUBSCRIBER
    if code < REFUSED:
        return Result.TAKEN, ""
    try:
        name = PubAckReasonCode(code).name.lower().replace("_", " ")
    except ValueError:
        name = f"{code:#04x}"
    return Result.NOT_TAKEN, f"The broker refused the command: {name}."


class Report:
    """Counts what became of the commands since the start."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self.has_news = False

    def add(self, outcomes: Sequence[Outcome], expired: int) -> None:
        self._counts.update(map(_name, outcomes))
        self._counts["expired"] += expired
        self.has_news = self.has_news or bool(outcomes or expired)

    def line(self) -> str:
        """The counters; published = taken + no_subscriber + refused + unclear."""
        self.has_news = False
        said = " ".join(f"{name}={count}" for name, count in self.counts().items())
        return f"dispatch {said}"

    def counts(self) -> dict[str, int]:
        """By the names that the line has."""
        published = sum(self._counts[end] for end in ENDS)
        return {"published": published} | {end: self._counts[end] for end in (*ENDS, "expired")}


def _name(outcome: Outcome) -> str:
    if outcome.result in (Result.TAKEN, Result.UNCLEAR):
        return outcome.result.value
    return "no_subscriber" if outcome.reason == NO_SUBSCRIBER else "refused"
