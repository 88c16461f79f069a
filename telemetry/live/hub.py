"""Hears from the database what is new, and passes it on to the streams of this process."""

import logging
import random
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, OperationalError, connection
from prometheus_client import Gauge

from telemetry import telling
from telemetry.live import steps
from telemetry.live.readings import Readings
from telemetry.live.ring import Event, Kind, Ring, Sent, Subject, reset
from telemetry.live.stream import Following, Stream
from telemetry.telling import Told

logger = logging.getLogger(__name__)

RING_SECONDS = 300.0
RING_BYTES = 32 * 1024 * 1024
# A server that vanished tells nothing; so it is asked for a sign of life in quiet times. One that
# does not answer is noticed by tcp_user_timeout.
QUIET_SECONDS = 10.0
# Where somebody else who listens does not read, there is no room left at last for what is told.
# Then things are stored, and nobody hears of them.
USAGE = "SELECT pg_notification_queue_usage()"
FULL = 0.99
START_SECONDS = 5.0
PAUSE_SECONDS = 1.0
SESSION = f"""
SET application_name = 'iotplatform-live@{socket.gethostname()}';
SET statement_timeout = '15s';
LISTEN {telling.CHANNEL};
LISTEN {steps.CHANNEL}
"""
NOT_NOW = "The database does not tell what is new."


STREAMS = Gauge(
    "iotplatform_live_streams",
    "Live streams that are open.",
    multiprocess_mode="livesum",
    registry=None,
)

# However few this process may have, so many may be one person's.
LEAST_SHARE = 4
OF_PERSON = "You have as many live streams open as one person may: {most}. Close one of them first."
OF_TENANT = "Your tenant has as many live streams open as one may: {most}. Try again in a moment."


class Full(Exception):
    """There are as many streams as this process may have."""


class ShareTaken(Exception):
    """There are as many as one person may have of them, or one tenant, as it says."""


class Watch:
    """Since when a subject is followed without a gap, and by whom."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.left_at = 0.0
        self.streams: set[Stream] = set()

    def is_over(self) -> bool:
        """Nobody follows it, nor may somebody come back who did."""
        return not self.streams and time.monotonic() - self.left_at > RING_SECONDS


class Hub:
    """One thread with one connection: it listens, reads what it is told of, and passes that on.

    It starts with the first stream, so after a server has forked, and ends when nobody has followed
    anything for five minutes. The connection is Django's for this thread, and nobody else's: so
    what it reads is made by the API's own querysets.
    """

    def __init__(self) -> None:
        # Guards all that follows.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ring: Ring | None = None
        self._streams: set[Stream] = set()
        self._watched: dict[Subject, Watch] = {}

    def join(self, stream: Stream, last_place: str) -> None:
        """Let `stream` have what comes from now on, or after `last_place` if that is known.

        From then on nothing is missed. Raises Full, ShareTaken, and Django's OperationalError while
        the database does not tell.
        """
        with self._changed:
            self._check_room(stream.following)
            self._streams.add(stream)
            STREAMS.set(len(self._streams))
            self._start()
            if not self._changed.wait_for(lambda: self._ring, START_SECONDS):
                self._streams.discard(stream)
                STREAMS.set(len(self._streams))
                raise OperationalError(NOT_NOW)
            ring = self._ring
            assert ring
            number = self._resumed(ring, stream, last_place)
            self._watch(ring, stream)
            missed = None if last_place and number is None else ring.after(number or ring.newest)
            start = ring.newest if number is None or missed is None else number
            stream.begin(ring.place(start), ring.place(ring.newest), missed)

    def leave(self, stream: Stream) -> None:
        """It is over; what it followed goes on for as long as its client may come back."""
        with self._changed:
            self._streams.discard(stream)
            STREAMS.set(len(self._streams))
            for subject in stream.following.subjects:
                if watch := self._watched.get(subject):
                    watch.streams.discard(stream)
                    watch.left_at = time.monotonic()

    def cut(self) -> None:
        """End all streams; their clients come back."""
        with self._changed:
            for stream in self._streams:
                stream.cut()

    def _check_room(self, new: Following) -> None:
        """A quarter of all streams for a person and a half for a tenant leave some for others."""
        most = settings.LIVE_STREAMS
        if len(self._streams) >= most:
            raise Full
        open_ = [stream.following for stream in self._streams]
        of_person = max(LEAST_SHARE, most // 4)
        if sum(each.user_id == new.user_id for each in open_) >= of_person:
            raise ShareTaken(OF_PERSON.format(most=of_person))
        of_tenant = max(LEAST_SHARE, most // 2)
        is_staff = new.tenant_id is None
        if not is_staff and sum(each.tenant_id == new.tenant_id for each in open_) >= of_tenant:
            raise ShareTaken(OF_TENANT.format(most=of_tenant))

    def _resumed(self, ring: Ring, stream: Stream, place: str) -> int | None:
        """The number of a place after which nothing of what `stream` follows was left out."""
        number = ring.number_in(place)
        if number is None:
            return None
        watches = [self._watched.get(subject) for subject in stream.following.subjects]
        return number if all(watch and watch.since <= number for watch in watches) else None

    def _watch(self, ring: Ring, stream: Stream) -> None:
        for subject in stream.following.subjects:
            watch = self._watched.setdefault(subject, Watch(ring.newest))
            watch.streams.add(stream)

    def _start(self) -> None:
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while self._is_wanted():
                try:
                    self._listen()
                except (Error, psycopg.Error, OSError) as error:
                    logger.warning("Live streams are not told what is new: %s", error)
                    self._deaf()
                    time.sleep(PAUSE_SECONDS * random.uniform(0.5, 1))
                finally:
                    connection.close()
        finally:
            self._end()

    def _is_wanted(self) -> bool:
        with self._changed:
            over = [subject for subject, watch in self._watched.items() if watch.is_over()]
            for subject in over:
                del self._watched[subject]
            if self._streams or self._watched:
                return True
            # Decided and done at once: who joins after this starts another thread.
            self._thread = None
            self._ring = None
            return False

    def _listen(self) -> None:
        """Pass on what is told, until nobody follows anything."""
        connection.ensure_connection()
        raw: Any = connection.connection
        raw.execute(SESSION)
        readings = Readings()
        self._hears()
        was_full = False
        while self._is_wanted():
            told = [*raw.notifies(timeout=QUIET_SECONDS, stop_after=1)]
            if told:
                # What came meanwhile is read at one go.
                told += raw.notifies(timeout=0)
                self._pass_on(self._events(told, readings))
            if was_full or not told:
                is_full = raw.execute(USAGE).fetchone()[0] > FULL
                # Again and again, as nobody tells what is new; and for the last time.
                if (was_full and not is_full) or (is_full and not told):
                    self._reset()
                was_full = is_full

    def _hears(self) -> None:
        """From here on. Places of before are unknown, and who has one loads anew."""
        with self._changed:
            self._ring = Ring(secrets.token_hex(4), RING_SECONDS, RING_BYTES)
            for watch in self._watched.values():
                watch.since = 0
            self._changed.notify_all()
        self._reset()

    def _reset(self) -> None:
        if followed := self._followed():
            self._pass_on([reset(*followed)])

    def _deaf(self) -> None:
        with self._changed:
            self._ring = None

    def _end(self) -> None:
        """After a fault of ours the streams are over as well, and their clients come back."""
        with self._changed:
            if self._thread is threading.current_thread():
                self._thread = None
                self._ring = None
                self.cut()

    def _followed(self) -> list[Subject]:
        with self._changed:
            return list(self._watched)

    def _events(self, told: Sequence[psycopg.Notify], readings: Readings) -> list[Event]:
        followed = self._followed()
        devices = {subject.id for subject in followed if subject.kind is Kind.DEVICE}
        commands = [subject for subject in followed if subject.kind is not Kind.DEVICE]
        said: dict[str, list[str]] = defaultdict(list)
        for each in told:
            said[each.channel].append(each.payload)
        try:
            heard = Told(said[telling.CHANNEL], devices)
            taken = steps.together(said[steps.CHANNEL])
        except ValueError:
            # Of another version, while it is replaced.
            logger.warning("Not understood: %s", said)
            return [reset(*followed)]
        return [*readings.events(heard), *steps.events(taken, commands)]

    def _pass_on(self, events: Iterable[Event]) -> None:
        with self._changed:
            ring = self._ring
            assert ring
            for_each: dict[Stream, list[Sent]] = {stream: [] for stream in self._streams}
            for event in events:
                sent = ring.add(event)
                for stream in self._followers(event):
                    for_each[stream].append(sent)
            newest = ring.place(ring.newest)
            for stream, some in for_each.items():
                stream.offer(some, newest)

    def _followers(self, event: Event) -> set[Stream]:
        watches = [self._watched[each] for each in event.subjects if each in self._watched]
        streams = set[Stream]().union(*(watch.streams for watch in watches))
        return {stream for stream in streams if stream.following.wants(event)}


hub = Hub()
"""That of this process."""
