"""Watches over the fleet and sends what is to be told of it, beside the dispatcher's work."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from devices.alerts import outbox, watching
from devices.alerts.delivering import WORKERS, deliver
from devices.alerts.outbox import Claim
from devices.daemon.writer import Writer

logger = logging.getLogger(__name__)

ROUND_SECONDS = 25.0
LOOK_SECONDS = 5.0
# Docker grants ten seconds, of which the dispatcher takes some.
LAST_SECONDS = 4.0
DEAF_AFTER = timedelta(minutes=1)
DEAF = (
    "No ingestor that is connected to the broker was heard of since %s. That devices are silent "
    "proves nothing now: no alert is raised."
)


class Alarm:
    """Has `writer` look at the fleet and claim notices, and sends these, until told to stop."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="notices")
        self._flying: set[asyncio.Task[None]] = set()
        self._deaf_since: datetime | None = None
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`, and settle what is in hand by then."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._send())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            if found := await self.writer.run(watching.look):
                self._say(found)
                self._woken.set()
            await _until(self._stopping, ROUND_SECONDS)

    def _say(self, found: watching.Round) -> None:
        if found.raised or found.cleared:
            logger.info("alerts raised=%d cleared=%d", found.raised, found.cleared)
        if found.deaf_since and not self._deaf_since:
            # At a start that is so for a moment.
            if datetime.now(UTC) - found.deaf_since < DEAF_AFTER:
                return
            logger.warning(DEAF, found.deaf_since.isoformat(" ", "seconds"))
        elif self._deaf_since and not found.deaf_since:
            logger.info("An ingestor is there again: alerts count from now.")
        self._deaf_since = found.deaf_since

    async def _send(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            room = WORKERS - len(self._flying)
            claims = await self.writer.run(partial(outbox.claim, room)) if room else []
            self._flying |= {asyncio.create_task(self._deliver(claim)) for claim in claims}
            if not claims:
                await _until(self._woken, LOOK_SECONDS)
        if self._flying:
            await asyncio.wait(self._flying, timeout=LAST_SECONDS)
        for task in self._flying:
            task.cancel()

    async def _deliver(self, claim: Claim) -> None:
        try:
            loop = asyncio.get_running_loop()
            sent = await loop.run_in_executor(self._threads, deliver, claim)
            if sent.error:
                logger.warning("Notice %s to %s: %s", claim.id, claim.target, sent.error)
            await self.writer.run(partial(outbox.settle, [sent]))
        finally:
            self._flying.discard(asyncio.current_task())
            self._woken.set()


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, and no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
