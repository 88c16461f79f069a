"""Carries changes of who may connect from their rows to the broker, beside the dispatcher's work.

A round claims some, tells the broker, and settles them. What it does not live to settle is told
again when its lease runs out.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings

from devices.brokers import changes
from devices.brokers.changes import Change, Told
from devices.brokers.emqx import management as emqx
from devices.brokers.mosquitto import conversation
from devices.brokers.mosquitto.conversation import Conversation
from devices.brokers.mosquitto.management import Management
from devices.daemon.wakeups import listen
from devices.daemon.writer import Writer
from devices.models.broker import CHANNEL
from devices.mqtt.session import Session, Subscription

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
NOT_READY_SECONDS = 0.5
SHORTEST_PAUSE = 0.05
REPORT_SECONDS = 10.0
FIRST_CHANGES, MOST_CHANGES = 5, 200
ROUND_SECONDS = 0.5
AWAY = "The broker cannot be reached; the log of the dispatcher says why. It is told once it can."


async def nothing() -> None:
    """There is nothing to hear."""


class Teller(NamedTuple):
    """How a broker is told: `tell`, for which `listen` runs; at times it is not ready.

    With `knows_no_time` it has to be told when a credential's time is over.
    """

    tell: Callable[[Sequence[Change]], Awaitable[list[Told]]]
    listen: Callable[[], Coroutine[Any, Any, None]] = nothing
    is_ready: Callable[[], bool] = lambda: True
    knows_no_time: bool = False


def teller(session: Session) -> Teller | None:
    """For the broker as it is configured; none where everybody may connect."""
    if settings.MQTT_ACCESS == "emqx":
        return Teller(emqx.tell)
    if settings.MQTT_ACCESS == "mosquitto":
        return mosquitto(session)
    return None


def mosquitto(session: Session) -> Teller:
    talk = Conversation(session)
    return Teller(Management(talk).tell, talk.run, lambda: session.connected, knows_no_time=True)


def subscriptions() -> list[Subscription]:
    """What the session has to hear for it."""
    return [conversation.SUBSCRIPTION] if settings.MQTT_ACCESS == "mosquitto" else []


class Carrier:
    """Tells by `teller` what `writer` claims, until told to stop."""

    def __init__(self, teller: Teller, writer: Writer) -> None:
        self.writer = writer
        self.report = Report()
        self.pace = Pace()
        self._teller = teller
        self._pause = LOOK_SECONDS
        self._away_since = math.inf
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, *, drain: bool = False) -> None:
        """Work until `stop`; with `drain` only until all that is due was told once."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(each) for each in self._beside()]
                await (self._drain() if drain else self._carry())
                for task in others:
                    task.cancel()
        finally:
            logger.info("%s", self.report.line())

    def stop(self) -> None:
        """Have what is in hand told and settled, then end `run`."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Look for changes now, or once more if that is going on."""
        self._woken.set()

    def _beside(self) -> list[Coroutine[Any, Any, None]]:
        return [listen(CHANNEL, self.wake), self._teller.listen(), self._report()]

    async def _carry(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            if not await self._round():
                await _until(self._woken, self._pause)

    async def _drain(self) -> None:
        tried: set[tuple[str, int]] = set()
        while not self._stopping.is_set():
            self._woken.clear()
            told = await self._round()
            if told is None:
                await _until(self._woken, self._pause)
                continue
            fresh = {(each.change.uid, each.change.version) for each in told} - tried
            if not fresh:
                return
            tried |= fresh

    async def _round(self) -> list[Told] | None:
        """What became of some changes; nothing if there are none now, None if nobody to tell."""
        if not self._teller.is_ready():
            self._pause = NOT_READY_SECONDS
            await self._say_away()
            return None
        self._away_since = math.inf
        look = partial(_look, self.pace.limit, self._teller.knows_no_time)
        claimed, wait = await self.writer.run(look)
        if not claimed:
            self._pause = max(min(wait, LOOK_SECONDS), SHORTEST_PAUSE)
            return []
        began = time.monotonic()
        told = await self._teller.tell(claimed)
        took = time.monotonic() - began
        await self.writer.run(partial(changes.settle, told))
        self.pace.learn(took)
        self.report.add(told)
        # For as long as we kept the broker it is there for others.
        await _until(self._stopping, took)
        return told

    async def _say_away(self) -> None:
        """Every few seconds: who looks at a change that waits shall see what for."""
        now = time.monotonic()
        self._away_since = min(self._away_since, now)
        if now - self._away_since >= LOOK_SECONDS:
            self._away_since = now
            await self.writer.run(partial(changes.wait_for_broker, AWAY))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if self.report.has_news:
                logger.info("%s", self.report.line())


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, and no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _look(limit: int, knows_no_time: bool) -> tuple[list[Change], float]:
    """Changes to tell; if there are none, after how many seconds to look again."""
    if knows_no_time:
        changes.expire()
    claimed = changes.claim(limit)
    wait = None if claimed else changes.wait()
    return claimed, LOOK_SECONDS if wait is None else wait


class Pace:
    """How many changes at a time keep a broker busy for half a second at most.

    Mosquitto serves nobody while it writes its file, which takes the longer the more it knows.
    """

    def __init__(self) -> None:
        self.limit = FIRST_CHANGES

    def learn(self, seconds: float) -> None:
        """What the last ones took."""
        if seconds > ROUND_SECONDS:
            self.limit = max(1, self.limit // 2)
        elif seconds < ROUND_SECONDS / 2:
            self.limit = min(2 * self.limit, MOST_CHANGES)


class Report:
    """Counts what became of changes since the start."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self.has_news = False

    def add(self, told: Sequence[Told]) -> None:
        self._counts.update(map(_end, told))
        self.has_news = self.has_news or bool(told)

    def line(self) -> str:
        self.has_news = False
        said = " ".join(f"{end}={self._counts[end]}" for end in ("told", "again", "failed"))
        return f"broker {said}"


def _end(told: Told) -> str:
    if told.error:
        return "failed"
    return "told" if told.again is None else "again"
