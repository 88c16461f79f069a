"""Watches over the fleet and sends what is to be told of it, beside the dispatcher's work."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

from django.db import Error

from devices.alerts import outbox, watching
from devices.alerts.delivering import WORKERS, deliver, place_in_log
from devices.alerts.outbox import Claim, Sent
from devices.daemon.writer import Writer

logger = logging.getLogger(__name__)

ROUND_SECONDS = 25.0
LOOK_SECONDS = 5.0
# Docker grants ten seconds, of which the dispatcher takes some.
LAST_SECONDS = 4.0
REST_SECONDS = 300.0
LEAST = 100
DEAF_AFTER = timedelta(minutes=1)
DEAF = (
    "No ingestor that is connected to the broker, and keeps up, was heard of since %s. That "
    "devices are silent proves nothing now: no alert is raised."
)


class Rest(NamedTuple):
    """A rule that took too long is left alone `until` then, and looked at for fewer devices."""

    until: float
    most: int


AWAKE = Rest(0.0, watching.MOST)


class Alarm:
    """Has `watcher` look at the fleet, and `sender` claim notices, which it sends, until told to
    stop. Whatever goes wrong is for the log: it is no reason to end the work beside it."""

    def __init__(self, watcher: Writer, sender: Writer) -> None:
        self.watcher = watcher
        self.sender = sender
        self._flying: dict[asyncio.Task[None], Claim] = {}
        self._resting: dict[int, Rest] = {}
        self._deaf_since: datetime | None = None
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`, and settle what is in hand by then."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._send())

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            with _logged("A round over the alert rules failed."):
                self._say(await self.watcher.run(watching.listen))
                for rule in await self.watcher.run(watching.rules):
                    if self._stopping.is_set():
                        break
                    with _logged("An alert rule could not be looked at."):
                        await self._look(rule)
            await _until(self._stopping, ROUND_SECONDS)

    async def _look(self, rule: int) -> None:
        rest = self._resting.get(rule, AWAKE)
        if rest.until > time.monotonic():
            return
        found = await self.watcher.run(partial(watching.look, rule, rest.most))
        if found.is_slow:
            # Others shall not wait for it at each round.
            fewer = max(LEAST, rest.most // 4)
            self._resting[rule] = Rest(time.monotonic() + REST_SECONDS, fewer)
        elif max(found.raised, found.cleared) < rest.most:
            self._resting.pop(rule, None)
        if found.raised or found.cleared:
            logger.info(
                "rule=%d alerts raised=%d cleared=%d",
                *(rule, found.raised, found.cleared),
                extra={"rule": rule},
            )
            self._woken.set()

    def _say(self, hearing: watching.Hearing) -> None:
        if hearing.deaf_since and not self._deaf_since:
            # At a start that is so for a moment.
            if datetime.now(UTC) - hearing.deaf_since < DEAF_AFTER:
                return
            logger.warning(DEAF, hearing.deaf_since.isoformat(" ", "seconds"))
        elif self._deaf_since and not hearing.deaf_since:
            logger.info("An ingestor is there again: alerts count from now.")
        self._deaf_since = hearing.deaf_since

    async def _send(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            claims: list[Claim] = []
            with _logged("Notices of alerts could not be claimed."):
                claims = await self._claim()
            self._flying |= {asyncio.create_task(self._deliver(each)): each for each in claims}
            if not claims:
                await _until(self._woken, LOOK_SECONDS)
        if self._flying:
            await asyncio.wait(self._flying, timeout=LAST_SECONDS)
        for task in self._flying:
            task.cancel()

    async def _claim(self) -> list[Claim]:
        busy = [claim.tenant_id for claim in self._flying.values()]
        room = WORKERS - len(busy)
        return await self.sender.run(partial(outbox.claim, room, busy)) if room else []

    async def _deliver(self, claim: Claim) -> None:
        try:
            sent = await _in_a_thread(partial(deliver, claim))
            if sent.error:
                where, why = place_in_log(claim), sent.error
                logger.warning(
                    "Notice %s of rule %d, %s: %s",
                    *(claim.id, claim.rule_id, where, why),
                    extra={"notice": claim.id, "rule": claim.rule_id},
                )
            with _logged("What became of a notice could not be noted."):
                await self.sender.run(partial(outbox.settle, [sent]))
        finally:
            self._flying.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
            self._woken.set()


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Log an error of the database, other than that it is ill, which the writer waits out."""
    try:
        yield
    except Error:
        logger.exception("%s", what)


def _in_a_thread(work: Callable[[], Sent]) -> asyncio.Future[Sent]:
    """What `work`, which raises nothing, returns. A process that ends does not wait for it."""
    promise: Future[Sent] = Future()

    def keep() -> None:
        if promise.set_running_or_notify_cancel():
            promise.set_result(work())

    threading.Thread(target=keep, daemon=True, name="notice").start()
    return asyncio.wrap_future(promise)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, and no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
