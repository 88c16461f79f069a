"""When credentials were last used: noted in memory, written together, never in a request.

A fleet that comes back at once would otherwise wait for as many commits as it has devices.
"""

import atexit
import logging
import os
import threading
from collections.abc import Mapping
from datetime import datetime

from django.db import connection
from django.utils import timezone

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0

# Whoever has a row locked ends the credential, or writes a use as new as ours. To wait for them
# could be a deadlock, as each locks in an order of its own.
WRITE = """
WITH used AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) AS used (id, at)
), free AS (
    SELECT credential.id, used.at
    FROM devices_credential AS credential JOIN used USING (id)
    WHERE last_used_at IS NULL OR last_used_at < used.at
    FOR NO KEY UPDATE OF credential SKIP LOCKED
)
UPDATE devices_credential AS credential SET last_used_at = free.at
FROM free WHERE free.id = credential.id
"""


class Uses:
    """Uses that are not in the database yet; `note` starts the thread that brings them there."""

    def __init__(self, every: float = EVERY_SECONDS) -> None:
        self._every = every
        self.begin()

    def begin(self) -> None:
        """Know of nothing. In a process that was forked, the other one writes what it knows."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._times: dict[int, datetime] = {}
        self._thread: threading.Thread | None = None

    def note(self, credential_id: int) -> None:
        """The credential was used just now."""
        now = timezone.now()
        with self._lock:
            self._times[credential_id] = now
            if self._thread is None:
                # Not before it is needed: gunicorn may fork after it has loaded us.
                self._thread = threading.Thread(target=self._run, name="uses", daemon=True)
                self._thread.start()

    def write(self) -> None:
        """All that was noted, by one statement; what fails is left for the next time."""
        with self._lock:
            times, self._times = self._times, {}
        if not times:
            return
        try:
            write(times)
        except Exception as error:
            # Whatever it is: the thread has to live on, and nothing of the sort is worth an end.
            logger.warning("Last uses of credentials are written later: %r", error)
            with self._lock:
                # What came meanwhile is newer.
                self._times = times | self._times

    def end(self) -> None:
        """Write what there is, once and for all."""
        self._ended.set()
        self.write()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self.write()
            # Ten seconds are long for a connection that nobody uses.
            connection.close()


def write(times: Mapping[int, datetime]) -> None:
    """Credential → when it was used; one that was used later already stays as it is."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE, {"ids": list(times), "times": list(times.values())})


uses = Uses()
note = uses.note
atexit.register(uses.end)
os.register_at_fork(after_in_child=uses.begin)
