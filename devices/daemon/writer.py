"""A process's hands in the database: one thread, one connection, one deadline, no giving up."""

import asyncio
import contextlib
import logging
import math
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from django.db import connection, reset_queries

from devices.daemon.faults import Fault, fault_of

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

# A server that froze answers no timeout of its own, and libpq has none for it.
DEADLINE = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0

# The last line has the server notice that we are gone, and give our lock back, in mid-statement.
SESSION_SETTINGS = """
SET statement_timeout = '15s';
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '15s';
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = 'on';
SET client_connection_check_interval = '1s'
"""


# Whose lock pg_try_advisory_lock(bigint) found; the server keeps the number in two halves.
HOLDER = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0)
"""


class NameTaken(Exception):
    """Another process works under the same name; this one waits for it to end."""


class NameLost(Exception):
    """Another process took over our name while our connection was lost; this one has to end."""


class Writer:
    """Runs database work in a thread, one piece after another, each until it succeeds.

    With a `name` it holds that advisory lock for as long as its connection lives, so of two
    processes with one name the second waits. Work must be safe to repeat: a lost COMMIT reply
    repeats it. `failures` are attempts that the database kept from succeeding, and `failed_at` is
    when the last one ended, by the monotonic clock.
    """

    def __init__(self, name: str | None = None, deadline: float = DEADLINE) -> None:
        self.name = name
        self.deadline = deadline
        self.failures = 0
        self.failed_at = -math.inf
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._raw: Any = None
        self._prepared = False
        self._backend = 0
        self._busy = False

    async def run(
        self, work: Callable[[], Result], too_slow: Callable[[], None] = lambda: None
    ) -> Result:
        """The result of `work`. Waits out an ill database; raises what is anybody else's fault.

        `too_slow` is called when an attempt exceeded the deadline, before the next one.
        """
        for attempt, pause in enumerate(pauses(), 1):
            try:
                return await self._attempt(work, too_slow)
            except NameTaken as error:
                logger.warning("%s", error)
                self.failed_at = time.monotonic()
            except Exception as error:
                if fault_of(error) not in (Fault.WAIT, Fault.SLOW):
                    raise
                logger.warning("The database cannot now (attempt %d): %s", attempt, error)
                self.failures += 1
                self.failed_at = time.monotonic()
            await asyncio.sleep(pause)
        raise AssertionError("pauses() never ends")

    async def _attempt(self, work: Callable[[], Result], too_slow: Callable[[], None]) -> Result:
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        # Whoever waits may be cancelled at a stop; then nobody asks for the outcome any more.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait([running], timeout=self.deadline)
        if not done:
            logger.error("The database did not answer for %.0f s; disconnecting.", self.deadline)
            self._cut()
            await asyncio.wait([running])
            if running.exception():
                too_slow()
        return await running

    def _do(self, work: Callable[[], Result]) -> Result:
        self._busy = True
        try:
            self._prepare()
            return work()
        except BaseException:
            self._close()
            raise
        finally:
            self._busy = False
            # With DEBUG Django keeps every statement until a request ends; here none ever does.
            reset_queries()

    def _prepare(self) -> None:
        """Make a new connection ours."""
        connection.ensure_connection()
        if self._prepared:
            return
        self._raw = connection.connection
        with connection.cursor() as cursor:
            cursor.execute(SESSION_SETTINGS)
            if self.name:
                self._take_name(cursor)
        self._prepared = True

    def _take_name(self, cursor: Any) -> None:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [self.name])
        if cursor.fetchone() == (False,):
            cursor.execute(HOLDER, [self.name])
            holder = cursor.fetchone()
            # None: its lock went in between; ours: the server has not noticed its end yet.
            if self._backend and holder and holder != (self._backend,):
                raise NameLost(f"Another process took over the client id “{self.name}”.")
            raise NameTaken(
                f"Another process with the client id “{self.name}” is at work; waiting for it to "
                "end. Give this one another MQTT__CLIENT_ID to run both."
            )
        self._backend = self._raw.info.backend_pid

    def _close(self) -> None:
        self._prepared = False
        with contextlib.suppress(Exception):
            connection.close()

    def _cut(self) -> None:
        """Take the connection's socket away from the thread that waits for it."""
        with (
            contextlib.suppress(OSError, AttributeError, psycopg.Error),
            socket.socket(fileno=os.dup(self._raw.fileno())) as ours,
        ):
            ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the thread and its connection; work that was given up is cut off."""
        if self._busy:
            self._cut()
        self._thread.submit(self._close)
        self._thread.shutdown()


def pauses() -> Iterator[float]:
    """Seconds between attempts: soon first, then 1 to 30 with jitter, for ever."""
    yield FIRST_PAUSE
    ceiling = 1.0
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(2 * ceiling, LONGEST_PAUSE)
