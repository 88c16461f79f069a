"""From the rows to the broker, and back to the rows with what the broker made of them.

A round claims commands, publishes all of them, and the transaction that claims the next records
what became of these. What it does not live to record is published again when its lease runs out.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson
from mqtt5 import PubAckReasonCode

from devices.commands import outbox
from devices.commands.outbox import LEASE_SECONDS, Claim, Outcome, Result
from devices.commands.wakeups import listen
from devices.daemon.writer import Writer
from devices.models.commands import REASON_LENGTH
from devices.mqtt import topics
from devices.mqtt.session import Session

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
NO_ANSWER = "The broker did not answer in time; it may have the command."
REFUSED = 0x80


class NotConnected(Exception):
    """A drain could not begin or go on: the broker was not reached in time."""


class Round(NamedTuple):
    """A turn of the outbox, and when it began by the clock of the event loop."""

    began: float
    turn: outbox.Turn


class Dispatcher:
    """Publishes through `session` what `writer` claims, until told to stop.

    Without `with_properties` the messages are such as MQTT 3.1.1 has, too.
    """

    def __init__(self, session: Session, writer: Writer, *, with_properties: bool) -> None:
        self.session = session
        self.writer = writer
        self.report = Report()
        self._with_properties = with_properties
        self._flying: set[asyncio.Task[Outcome]] = set()
        self._outcomes: list[Outcome] = []
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, *, drain: bool = False) -> None:
        """Work until `stop`; with `drain` only until nothing is due."""
        try:
            async with asyncio.TaskGroup() as group:
                connection = group.create_task(self.session.run())
                others = [group.create_task(work) for work in self._beside()]
                work = group.create_task(self._drain() if drain else self._dispatch())
                stop = group.create_task(self._stopping.wait())
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
                await self._finish(work)
                for task in others:
                    task.cancel()
                self.session.stop()
                await connection
        finally:
            logger.info("%s", self.report.line())

    def stop(self) -> None:
        """Have the broker's answers to what is in hand recorded, then end `run`."""
        self._stopping.set()

    def wake(self) -> None:
        """Look for work now, or once more if that is going on."""
        self._woken.set()

    def _beside(self) -> list[Coroutine[Any, Any, None]]:
        return [listen(self.wake), self._report()]

    async def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            if not await self._round():
                # At the latest in some seconds: what is put off becomes due without a word.
                waits = self.session.wait_until_connected, self._woken.wait
                await self._wait(waits[self.session.connected], LOOK_SECONDS)
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
        began, turn = await self._turn(limit)
        for claim in turn.claims:
            publishing = self._publish(claim, began + ANSWER_SECONDS)
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

    async def _turn(self, limit: int) -> Round:
        done = await self.writer.run(partial(turn, self._outcomes, limit))
        self.report.add(self._outcomes, done.turn.expired)
        self._outcomes = []
        return done

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

    async def _finish(self, work: asyncio.Task[None]) -> None:
        await asyncio.wait({work}, timeout=STOP_SECONDS)
        if unrecorded := len(self._outcomes) + len(self._flying):
            logger.error(
                "Stopping without a record of what became of %d of the last commands; they will "
                "be published again.",
                unrecorded,
            )
        for task in (work, *self._flying):
            task.cancel()

    async def _publish(self, claim: Claim, deadline: float) -> Outcome:
        """Publish a command, whatever the trouble, so that no other suffers from it."""
        try:
            message = self._message(claim)
            if time.monotonic() >= deadline:
                raise TimeoutError
            async with asyncio.timeout_at(deadline):
                code = await self.session.publish(**message)
        except TimeoutError:
            return Outcome(claim, Result.UNCLEAR, NO_ANSWER)
        except ConnectionError as error:
            return Outcome(claim, Result.UNCLEAR, str(error)[:REASON_LENGTH])
        except ValueError as error:
            return Outcome(claim, Result.NOT_TAKEN, str(error)[:REASON_LENGTH])
        except Exception as error:
            logger.exception("Command %s could not be published.", claim.id)
            return Outcome(
                claim, Result.UNCLEAR, f"It could not be published: {error}"[:REASON_LENGTH]
            )
        return outcome_of(claim, code)

    def _message(self, claim: Claim) -> dict[str, Any]:
        """What `Session.publish` is called with."""
        message = {
            "topic": topics.build(claim.tenant, claim.uid, "commands"),
            "payload": body(claim),
        }
        if not self._with_properties:
            return message
        left = (claim.expires_at - datetime.now(UTC)).total_seconds()
        return message | {
            "message_expiry": max(1, int(left)),
            "response_topic": topics.build(claim.tenant, claim.uid, "replies"),
            "correlation_data": str(claim.id).encode(),
        }

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if self.report.has_news:
                logger.info("%s", self.report.line())


def turn(outcomes: Sequence[Outcome], limit: int) -> Round:
    """A turn of the outbox, in the writer's thread: the leases run from here."""
    began = time.monotonic()
    return Round(began, outbox.turn(outcomes, limit))


def body(claim: Claim) -> bytes:
    """What the device gets."""
    params = orjson.Fragment(claim.params)
    return orjson.dumps({"id": str(claim.id), "cmd": claim.cmd, "params": params})


def outcome_of(claim: Claim, code: int) -> Outcome:
    """What the broker's PUBACK says."""
    if code == PubAckReasonCode.NO_MATCHING_SUBSCRIBERS:
        return Outcome(claim, Result.NOT_TAKEN, NO_SUBSCRIBER)
    if code < REFUSED:
        return Outcome(claim, Result.TAKEN)
    name = PubAckReasonCode(code).name.lower().replace("_", " ")
    return Outcome(claim, Result.NOT_TAKEN, f"The broker refused the command: {name}.")


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
        counts = self._counts
        ends = ("taken", "no_subscriber", "refused", "unclear")
        published = sum(counts[end] for end in ends)
        said = " ".join(f"{end}={counts[end]}" for end in (*ends, "expired"))
        return f"dispatch published={published} {said}"


def _name(outcome: Outcome) -> str:
    if outcome.result is Result.NOT_TAKEN:
        return "no_subscriber" if outcome.reason == NO_SUBSCRIBER else "refused"
    return "taken" if outcome.result is Result.TAKEN else "unclear"
