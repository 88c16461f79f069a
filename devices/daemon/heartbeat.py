"""Says every few seconds that a process is alive, and what waits for it, for people who look.

It never holds up the work: it goes through the hands in the database that the process has, behind
what is in them, and a beat that cannot be written while the database is ill comes late.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db import Error
from django.db.models.functions import Now

from devices.daemon.writer import Writer
from devices.models import Heartbeat, ProcessKind

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
FIRST_SECONDS = 1.0
SILENT_AFTER = timedelta(minutes=1)
"""Without a beat for so long, a process is taken for dead or cut off from the database."""
FORGOTTEN_AFTER = timedelta(days=1)
# Of the eight seconds that a process has to end in, others need more.
GOODBYE_SECONDS = 2.0


class Sign(NamedTuple):
    """What a process says of itself: since when its oldest piece of work waits, in seconds since
    the epoch, if any does; and what else is worth knowing."""

    waiting_since: float | None
    detail: dict[str, Any]


class Heart:
    """Beats for a process named `client_id`, which several may be, until cancelled.

    `sign` is asked at each beat, in the event loop, and must answer at once.
    """

    def __init__(
        self, kind: ProcessKind, client_id: str, writer: Writer, sign: Callable[[], Sign]
    ) -> None:
        self.name = f"{client_id} {socket.gethostname()} {os.getpid()}"[:255]
        self._kind = kind
        self._writer = writer
        self._sign = sign
        self._started_at = datetime.now(UTC)

    async def run(self) -> None:
        # Where the broker answers at once, the first sign is not yet that it is not reached.
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self._writer.run(partial(self._beat, self._sign()))
            except Error:
                # A database of another version, say: no reason to end the work.
                logger.exception("A sign of life could not be given.")
            await asyncio.sleep(BEAT_SECONDS)

    async def stop(self) -> None:
        """Take the row back, for a process that ends in order; one that cannot leaves it."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._writer.run(Heartbeat.objects.filter(pk=self.name).delete)
        except (TimeoutError, Error):
            logger.warning("The last sign of life could not be taken back; it is forgotten later.")

    def _beat(self, sign: Sign) -> None:
        since = sign.waiting_since
        beat = Heartbeat(
            name=self.name,
            kind=self._kind,
            started_at=self._started_at,
            # Of the server, by whose clock others judge how old it is.
            beat_at=Now(),
            waiting_since=None if since is None else datetime.fromtimestamp(since, UTC),
            detail=sign.detail,
        )
        # One statement, as what waits behind it is the work.
        Heartbeat.objects.bulk_create(
            [beat],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["started_at", "beat_at", "waiting_since", "detail"],
        )
