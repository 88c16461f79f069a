"""One client's stream: what waits for it, and the text that is sent."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.db import Error, connection

from accounts.models import User
from telemetry.live.ring import Event, Sent, Subject, reset

logger = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
# How long the thread of a client that has gone is held: people leave pages faster than they beat.
LOOK_SECONDS = 1.0
# Who is so far behind is cut off, to come back and to resume: memory is everybody's.
MOST_WAITING = 4 * 1024 * 1024
READY = Event("ready", "{}", frozenset())
# Milliseconds after which a browser connects anew.
RETRY = b"retry: 2000\n\n"


@dataclass(frozen=True)
class Following:
    """What a client follows, for whom, and the tenant that is; None: it may see all of them."""

    subjects: frozenset[Subject]
    user_id: int
    tenant_id: int | None

    def wants(self, event: Event) -> bool:
        may_see = None in (self.tenant_id, event.tenant_id) or self.tenant_id == event.tenant_id
        return may_see and not self.subjects.isdisjoint(event.subjects)


def scope_of(user: User) -> int | None:
    """The tenant whose things `user` sees; None: those of all."""
    return None if user.sees_all_tenants else user.works_in_id


class Stream:
    """An iterator of bytes for one client, in the thread that serves it.

    `lost_rights` says why the client may not go on, or nothing; it is asked at every beat, and more
    often whether the client `has_gone`. `leave` is called at the end. A stream that waits holds no
    connection to the database.
    """

    def __init__(
        self,
        following: Following,
        lost_rights: Callable[[], str],
        has_gone: Callable[[], bool],
        leave: Callable[["Stream"], None],
    ) -> None:
        self.following = following
        self._lost_rights = lost_rights
        self._has_gone = has_gone
        self._leave = leave
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._size = 0
        self._place = ""
        self._is_cut = False

    def begin(self, place: str, newest: str, missed: Sequence[Sent] | None) -> None:
        """Let it start at `place`, with what was missed since; None: too much, nobody knows it."""
        self._place = newest
        wanted = [sent for sent in missed or () if self.following.wants(sent.event)]
        is_too_much = sum(len(sent.text) for sent in wanted) > MOST_WAITING
        if missed is None or is_too_much or any(sent.event.is_reset for sent in wanted):
            again = [reset().text(newest)]
        else:
            again = [sent.text for sent in wanted]
        self._waiting = [RETRY, READY.text(place), *again]

    def offer(self, events: Sequence[Sent], newest: str) -> None:
        """Put in what the client wants of the events up to the place `newest`. Never waits."""
        with self._changed:
            self._place = newest
            self._waiting += [sent.text for sent in events]
            self._size += sum(len(sent.text) for sent in events)
            if self._size > MOST_WAITING:
                self._cut()
            if events:
                self._changed.notify()

    def cut(self) -> None:
        """End it; the client comes back and resumes."""
        with self._changed:
            self._cut()
            self._changed.notify()

    def _cut(self) -> None:
        self._is_cut = True
        self._waiting = []

    def __iter__(self) -> Iterator[bytes]:
        release_connection()
        due = time.monotonic() + BEAT_SECONDS
        while True:
            text, place = self._take(min(LOOK_SECONDS, due - time.monotonic()))
            if self._is_cut or self._has_gone():
                return
            if time.monotonic() >= due:
                reason = self._reason_to_end()
                if reason:
                    yield closed(reason, place)
                if reason is not None:
                    return
                # Without data it is no event, but a client that resumes does so from here.
                text += f": still there\nid: {place}\n\n".encode()
                due = time.monotonic() + BEAT_SECONDS
            if text:
                yield text

    def _take(self, seconds: float) -> tuple[bytes, str]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_cut, max(0, seconds))
            text, self._waiting, self._size = b"".join(self._waiting), [], 0
            return text, self._place

    def _reason_to_end(self) -> str | None:
        """None while there is none; empty where nobody can say: the client has to ask again."""
        try:
            return self._lost_rights() or None
        except Error as error:
            logger.warning("A live stream ends, as its rights cannot be looked up: %s", error)
            return ""
        finally:
            release_connection()

    def close(self) -> None:
        """The web server's last call, also where it never asked for the first bytes."""
        self._leave(self)


def closed(reason: str, place: str) -> bytes:
    return Event("closed", f'{{"reason": "{reason}"}}', frozenset()).text(place)


def release_connection() -> None:
    """A hundred streams that wait must not hold a hundred connections.

    Whoever iterates inside of a transaction keeps it.
    """
    if not connection.in_atomic_block:
        connection.close()
