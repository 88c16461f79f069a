"""From the broker to the database, and back to the broker with the acknowledgements.

While batches commit, the next is read and decoded. Nothing is acknowledged before the
transaction that stored it has committed; what was not acknowledged comes again later.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Any

from prometheus_client import Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from devices import state
from devices.daemon.heartbeat import Heart, Sign
from devices.daemon.writer import Writer
from devices.models import ProcessKind
from devices.mqtt.session import Message, Session, Unreadable
from telemetry import metrics, partitions
from telemetry.counts import Tally
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import Batch
from telemetry.reasons import Reason

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 8_000
BATCH_BYTES = 8 * 1024 * 1024
# Two batches being stored, one decoded, one on its way.
RECEIVE_MAXIMUM = 4 * BATCH_MESSAGES
REPORT_SECONDS = 10.0
PARTITION_SECONDS = 3_600.0
SILENCE_SECONDS = 2.0
CONNECT_SECONDS = 30.0
# Batches of at least so many messages may be stored two at a time; smaller ones wait for those
# before them and grow meanwhile, which saves transactions.
LARGE_BATCH = 2_000
# Less than the ten seconds that Docker grants between SIGTERM and SIGKILL.
STOP_SECONDS = 8.0

# Longer than the longest pause between attempts at an ill database, together with one of these.
STUCK_SECONDS = 60.0
STUCK = (
    "Messages have been waiting for {seconds:.0f} s, and nothing is being stored, though the "
    "database does not keep it from that: start this process anew, and keep its log for a report."
)

BATCH_READINGS = Histogram(
    "iotplatform_batch_readings",
    "Readings of the messages that were stored at a time.",
    buckets=(1, 10, 50, 100, 500, 1_000, 2_000, 4_000, 8_000, 16_000),
    registry=None,
)
COMMIT_SECONDS = Histogram(
    "iotplatform_commit_seconds",
    "Seconds from decoding a part of a batch to its commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60),
    registry=None,
)

Packets = Sequence[Message | Unreadable]


class NotConnected(Exception):
    """A drain could not begin: the broker was not reached in time."""


class Ingestor:
    """Moves messages from `session` through `writers` into the database until told to stop.

    As `name` it says there that it is alive.
    """

    def __init__(self, session: Session, writers: Sequence[Writer], name: str) -> None:
        self.session = session
        self.writers = writers
        self.report = Report(session)
        # Through the one with less to do.
        self._heart = Heart(ProcessKind.INGESTOR, name, writers[-1], self.report.sign)
        self._storing: deque[asyncio.Task[None]] = deque()
        self._others: set[asyncio.Task[None]] = set()
        self._forgetting: asyncio.Task[None] | None = None
        self._stored_at = time.monotonic()
        self._stopping = asyncio.Event()
        self._group: asyncio.TaskGroup

    async def run(self, *, drain: bool = False) -> None:
        """Work until `stop`; with `drain` only until the broker has been silent for two seconds."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                connection = group.create_task(self.session.run())
                self._beside(self._report())
                self._beside(self._look_after_partitions())
                self._beside(self._heart.run())
                pump = group.create_task(self._drain() if drain else self._pump())
                stop = group.create_task(self._stopping.wait())
                await asyncio.wait({pump, stop}, return_when=asyncio.FIRST_COMPLETED)
                pump.cancel()
                stop.cancel()
                await self._finish()
                for task in self._others:
                    task.cancel()
                self.session.stop()
                await connection
                await self._heart.stop()
        finally:
            logger.info("%s", self.report.line(), extra={"counts": self.report.total._asdict()})

    def stop(self) -> None:
        """Finish and acknowledge what is in hand, then end `run`."""
        self._stopping.set()

    def connected(self, session_present: bool) -> None:
        """Called at every connect: a broker that forgot us forgot the devices' sessions as well."""
        if not session_present:
            logger.warning("The broker knows no session of ours, as at a first start.")
            reason = "The broker lost its sessions."
            forget = partial(state.forget_sessions, datetime.now(UTC), reason)
            # It is worth waiting for at a stop: the next connect finds a session, and says nothing.
            self._forgetting = self._group.create_task(self.writers[0].run(forget))

    def trouble(self) -> str:
        """Why this process has to be started anew, if it has.

        That broker or database are away is no reason: another process would find them no better. So
        it is none where the broker has sent nothing, or where an attempt at the database has failed
        not long ago, which shows that we go on trying.
        """
        oldest = self.session.oldest_unacknowledged
        if oldest is None:
            return ""
        signs = self._stored_at, *(writer.failed_at for writer in self.writers)
        seconds = min(time.time() - oldest, time.monotonic() - max(signs))
        return STUCK.format(seconds=seconds) if seconds > STUCK_SECONDS else ""

    def figures(self) -> Iterator[Metric]:
        """What this process tells of its messages."""
        for counted in (*metrics.OF_READINGS, BATCH_READINGS, COMMIT_SECONDS):
            yield from counted.collect()
        oldest = self.session.oldest_unacknowledged
        yield GaugeMetricFamily(
            "iotplatform_unacknowledged_messages",
            "Messages that the broker sent and that are not acknowledged yet.",
            value=self.session.unacknowledged,
        )
        yield GaugeMetricFamily(
            "iotplatform_unacknowledged_age_seconds",
            "Seconds that the oldest of them has been waiting; 0 where none does.",
            value=max(0.0, time.time() - oldest) if oldest else 0.0,
        )
        yield GaugeMetricFamily(
            "iotplatform_reading_paused",
            "Whether nothing more is read from the broker until some of it is stored: 1 or 0.",
            value=self.session.is_paused,
        )

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Have `work` done while we run; it is given up at a stop."""
        task = self._group.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _drain(self) -> None:
        """Pump until the broker, connected all the time, has been silent with nothing in hand."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.session.wait_until_connected()
        except TimeoutError:
            raise NotConnected(
                f"The broker was not reached in {CONNECT_SECONDS:.0f} s; see the lines above."
            ) from None
        connections = -1
        while connections != self.session.reconnects or not self.session.connected:
            connections = self.session.reconnects
            await self._pump(SILENCE_SECONDS)

    async def _pump(self, silence: float | None = None) -> None:
        """Receive, decode, store; up to one batch a writer is being stored at a time.

        With `silence` only until nothing came for so many seconds and nothing is in hand.
        """
        await self.writers[0].run(make_partitions)
        writers = cycle(self.writers)
        while packets := await self._receive(silence):
            at_once = len(self.writers) if len(packets) >= LARGE_BATCH else 1
            for taken, messages in decoded(packets):
                while len(self._storing) >= at_once:
                    # Its failure ends the group, and this with it.
                    await asyncio.wait([self._storing[0]])
                    self._storing.popleft()
                before = self._storing[-1] if self._storing else None
                work = self._store(taken, Batch(messages), next(writers), before)
                self._storing.append(self._group.create_task(work))
                # Let it hand the batch to its thread before the next one is decoded.
                await asyncio.sleep(0)

    async def _receive(self, silence: float | None) -> Packets:
        """What the broker has sent; nothing after a `silence` with nothing in hand."""
        while True:
            try:
                async with asyncio.timeout(silence):
                    return await self.session.receive(BATCH_MESSAGES, BATCH_BYTES)
            except TimeoutError:
                if all(task.done() for task in self._storing):
                    return []

    async def _store(
        self,
        packets: Packets,
        batch: Batch,
        writer: Writer,
        before: asyncio.Task[None] | None,
    ) -> None:
        if before and batch.follows:
            await asyncio.wait([before])
        began = time.monotonic()
        while not batch.is_stored:
            await writer.run(batch.store_part, too_slow=batch.halve)
            self._stored_at = time.monotonic()
            COMMIT_SECONDS.observe(self._stored_at - began)
            began = self._stored_at
        if before:
            # Acknowledgements go out in the order in which the messages came.
            await asyncio.wait([before])
        # After the commit: a crash here repeats the batch, it never loses it.
        self.session.acknowledge(packets)
        self.report.add(batch.tally)
        metrics.count(batch.tally, batch.reasons)
        BATCH_READINGS.observe(batch.tally.received)

    async def _finish(self) -> None:
        in_hand = {*self._storing, *([self._forgetting] if self._forgetting else [])}
        if not in_hand:
            return
        _, late = await asyncio.wait(in_hand, timeout=STOP_SECONDS)
        for task in late:
            logger.error("Stopping without a batch in hand; the broker will send it again.")
            task.cancel()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            logger.info("%s", self.report.line(), extra={"counts": self.report.total._asdict()})

    async def _look_after_partitions(self) -> None:
        while True:
            await asyncio.sleep(PARTITION_SECONDS)
            await self.writers[0].run(make_partitions)


def make_partitions() -> None:
    """Make the partitions of the days ahead, and say so."""
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
    return decode_message(packet.topic, packet.payload, received_at, number)


class Report:
    """Counts what became of the messages, in readings, since the start."""

    def __init__(self, session: Session) -> None:
        self.total = Tally()
        self._session = session
        self._since = time.monotonic()
        self._received = 0
        self._batches = 0
        self._signed = self._since, 0

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

    def sign(self) -> Sign:
        """What waits, and the counters, with the rate since the sign before."""
        now, received = time.monotonic(), self.total.received
        since, before = self._signed
        self._signed = now, received
        detail = {
            "connected": self._session.connected,
            "rate": round((received - before) / max(now - since, 0.001), 1),
            **self.total._asdict(),
        }
        return Sign(self._session.oldest_unacknowledged, detail)
