"""From the broker to the database, and back to the broker with the acknowledgements.

While batches commit, the next is read and decoded. Nothing is acknowledged before the
transaction that stored it has committed; what was not acknowledged comes again later.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle

from devices import state
from devices.mqtt.session import Message, Session, Unreadable
from telemetry import ingest, partitions
from telemetry.ingest import Incoming, Tally
from telemetry.reasons import Reason
from telemetry.writer import Writer

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 8_000
BATCH_BYTES = 8 * 1024 * 1024
REPORT_SECONDS = 10.0
PARTITION_SECONDS = 3_600.0
SILENCE_SECONDS = 2.0
CONNECT_SECONDS = 30.0
# Batches of at least so many messages may be stored two at a time; smaller ones wait for those
# before them and grow meanwhile, which saves transactions.
LARGE_BATCH = 2_000
# Less than the ten seconds that Docker grants between SIGTERM and SIGKILL.
STOP_SECONDS = 8.0

Packets = Sequence[Message | Unreadable]


class NotConnected(Exception):
    """A drain could not begin: the broker was not reached in time."""


class Ingestor:
    """Moves messages from `session` through `writers` into the database until told to stop."""

    def __init__(self, session: Session, writers: Sequence[Writer]) -> None:
        self.session = session
        self.writers = writers
        self.report = Report(session)
        self._stopping = False
        self._waiting: asyncio.Timeout | None = None
        self._group: asyncio.TaskGroup

    async def run(self, *, drain: bool = False) -> None:
        """Work until `stop`; with `drain` only until the broker has been silent for two seconds."""
        await self.writers[0].run(self._make_partitions)
        async with asyncio.TaskGroup() as group:
            self._group = group
            connection = group.create_task(self.session.run())
            others = [
                group.create_task(self._report()),
                group.create_task(self._look_after_partitions()),
            ]
            if drain:
                await self._first_connection()
            await self._pump(SILENCE_SECONDS if drain else None)
            for task in others:
                task.cancel()
            self.session.stop()
            await connection
        logger.info("%s", self.report.line())

    def stop(self) -> None:
        """Finish and acknowledge what is in hand, then end `run`."""
        self._stopping = True
        if self._waiting:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def connected(self, session_present: bool) -> None:
        """Called at every connect: a broker that forgot us forgot the devices' sessions as well."""
        if not session_present:
            logger.warning("The broker knows no session of ours, as at a first start.")
            forget = partial(
                state.forget_sessions, datetime.now(UTC), "The broker lost its sessions."
            )
            self._group.create_task(self.writers[0].run(forget))

    async def _first_connection(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.session.wait_until_connected()
        except TimeoutError:
            raise NotConnected(
                f"The broker was not reached in {CONNECT_SECONDS:.0f} s; see the lines above."
            ) from None

    async def _pump(self, silence: float | None) -> None:
        """Receive, decode, store; up to one batch a writer is being stored at a time."""
        storing: deque[asyncio.Task[None]] = deque()
        writers = cycle(self.writers)
        while not self._stopping:
            packets = await self._receive(silence)
            if silence and not packets and not storing:
                return
            at_once = len(self.writers) if len(packets) >= LARGE_BATCH else 1
            for batch in decoded(packets):
                while len(storing) >= at_once:
                    # Its failure ends the group, and this with it.
                    await asyncio.wait([storing.popleft()])
                before = storing[-1] if storing else None
                work = self._store(*batch, next(writers), before)
                storing.append(self._group.create_task(work))
                # Let it hand the batch to its thread before the next one is decoded.
                await asyncio.sleep(0)
            if not packets:
                await asyncio.wait(storing)
                storing.clear()
        if storing:
            await self._finish(storing)

    async def _receive(self, silence: float | None) -> Packets:
        """What the broker has sent, at least one packet; nothing after `silence` or at a stop."""
        try:
            async with asyncio.timeout(silence) as self._waiting:
                return await self.session.receive(BATCH_MESSAGES, BATCH_BYTES)
        except TimeoutError:
            return []
        finally:
            self._waiting = None

    async def _store(
        self,
        packets: Packets,
        batch: list[Incoming],
        writer: Writer,
        before: asyncio.Task[None] | None,
    ) -> None:
        tally = await writer.run(partial(ingest.store, batch))
        if before:
            # Acknowledgements go out in the order in which the messages came.
            await asyncio.wait([before])
        # After the commit: a crash here repeats the batch, it never loses it.
        self.session.acknowledge(packets)
        self.report.add(tally)

    async def _finish(self, storing: Iterable[asyncio.Task[None]]) -> None:
        _, late = await asyncio.wait(storing, timeout=STOP_SECONDS)
        for task in late:
            logger.error("Stopping without a batch in hand; the broker will send it again.")
            task.cancel()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            logger.info("%s", self.report.line())

    async def _look_after_partitions(self) -> None:
        while True:
            await asyncio.sleep(PARTITION_SECONDS)
            await self.writers[0].run(self._make_partitions)

    @staticmethod
    def _make_partitions() -> None:
        for week in partitions.make_ahead(datetime.now(UTC)):
            logger.info("Made the partition of the week of %s.", week)


def decoded(packets: Packets) -> Iterator[tuple[Packets, list[Incoming]]]:
    """Packets with what they say, in batches of a bounded number of readings.

    The packets of a message stay together, so one batch may exceed the bound by one message.
    """
    start, size = 0, 0
    batch: list[Incoming] = []
    for end, packet in enumerate(packets, 1):
        message = decode_packet(packet)
        batch.append(message)
        size += len(message.readings) or 1
        if size >= BATCH_MESSAGES or end == len(packets):
            yield packets[start:end], batch
            start, size, batch = end, 0, []


def decode_packet(packet: Message | Unreadable) -> Incoming:
    """What a packet of the broker says; a frame that the codec cannot read is rejected whole."""
    received_at = int(packet.received_at * 1_000_000)
    number = packet.packet_id or 0
    if isinstance(packet, Unreadable):
        topic = packet.topic.decode(errors="surrogateescape")
        message = Incoming(topic, packet.frame, received_at, number)
        return message.reject(Reason.MALFORMED_PACKET, packet.error)
    return ingest.decode_message(packet.topic, packet.payload, received_at, number)


class Report:
    """Counts what became of the messages, in readings, since the start."""

    def __init__(self, session: Session) -> None:
        self.total = Tally()
        self._session = session
        self._since = time.monotonic()
        self._received = 0
        self._batches = 0

    def add(self, tally: Tally) -> None:
        self.total = self.total.plus(tally)
        self._batches += 1

    def line(self) -> str:
        """The counters, with rate and mean batch size since the line before."""
        now, total = time.monotonic(), self.total
        fresh = total.received - self._received
        oldest = self._session.oldest_unacknowledged
        line = (
            f"ingest received={total.received} stored={total.stored} "
            f"duplicate={total.duplicate} rejected={total.rejected} "
            f"rate={fresh / max(now - self._since, 0.001):.0f}/s "
            f"batch={fresh / max(self._batches, 1):.0f} "
            f"oldest_unacked={time.time() - oldest if oldest else 0:.1f}s"
        )
        self._since, self._received, self._batches = now, total.received, 0
        return line
