"""Moves `DeviceState` forward: last seen, latest values, session. The only place that writes it.

Rows are always locked in the order of their key, so that several ingestors cannot deadlock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from psycopg import Cursor

from devices.models import DeviceState, Session

# A device that invents new keys for ever starts over with its newest reading at this size, in
# characters. Only what is large even as PostgreSQL keeps it, compressed, is measured.
LATEST_SIZE = 256 * 1024
LARGE = 8 * 1024

TIME = itemgetter(0)

LOCK = """
SELECT count(*) FROM (
    SELECT FROM devices_devicestate WHERE device_id = ANY(string_to_array(%s, ',')::bigint[])
    ORDER BY device_id FOR NO KEY UPDATE
) AS locked
"""

CREATE = """
INSERT INTO devices_devicestate (device_id, latest, session, session_id, reason)
SELECT device_id, '{}', 'unknown', '', ''
FROM unnest(string_to_array(%s, ',')::bigint[]) AS device_id ORDER BY 1
ON CONFLICT DO NOTHING
"""

# Optimization: where all of a batch is newer than all that is known, the usual case, one
# concatenation does; only otherwise every key is compared by its own time. One text of JSON, and
# one of numbers above, cost a fifth of as many array parameters.
MOVE = """
UPDATE devices_devicestate AS state
SET last_seen_at = greatest(state.last_seen_at, heard.seen_at),
    latest_at = greatest(state.latest_at, heard.newest),
    latest = CASE
        WHEN heard.newest >= coalesce(state.latest_at, heard.newest)
            AND pg_column_size(state.latest) > %(large)s
            AND length(state.latest::text) > %(size)s
            THEN heard.latest
        WHEN state.latest_at IS NULL OR heard.oldest >= state.latest_at
            THEN state.latest || heard.latest
        ELSE state.latest || coalesce((
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(heard.latest)
            WHERE state.latest -> key IS NULL
               OR (state.latest -> key ->> 1)::numeric <= (value ->> 1)::numeric
        ), '{}')
    END
FROM jsonb_to_recordset(%(batch)s::jsonb)
    AS batch (device_id bigint, seen_at bigint, latest jsonb, oldest bigint, newest bigint)
CROSS JOIN LATERAL (SELECT
    batch.latest,
    'epoch'::timestamptz + batch.seen_at * interval '1 microsecond' AS seen_at,
    'epoch'::timestamptz + batch.oldest * interval '1 microsecond' AS oldest,
    'epoch'::timestamptz + batch.newest * interval '1 microsecond' AS newest
) AS heard
WHERE state.device_id = batch.device_id
"""


# A Last Will comes late: the device may be back by then, under a new session id, and an end of the
# former session is not believed. Of two batches that commit out of order the later word holds.
BELIEVE = """
UPDATE devices_devicestate
SET session = %(state)s, session_id = %(session_id)s, since = %(at)s, reason = %(reason)s
WHERE device_id = %(device_id)s
  AND (since IS NULL OR since <= %(at)s)
  AND (session, session_id) IS DISTINCT FROM (%(state)s, %(session_id)s)
  AND (%(state)s <> 'offline' OR %(session_id)s = '' OR session_id IN ('', %(session_id)s))
"""


class Heard:
    """What a batch says about one device; times are microseconds since the Unix epoch."""

    __slots__ = ("_readings", "seen_at")

    def __init__(self) -> None:
        self.seen_at = 0
        self._readings: list[tuple[int, dict[str, Any]]] = []

    def add(self, ts: int, values: dict[str, Any]) -> None:
        """Take in one reading of the moment `ts`."""
        self._readings.append((ts, values))

    def record(self, device_id: int) -> dict[str, Any]:
        """What MOVE needs: `latest` as key → [value, milliseconds since the epoch].

        Each key has the value of its newest reading, the last to arrive of equally new ones;
        `oldest` and `newest` are the times of the readings that count.
        """
        oldest = newest = None
        latest: dict[str, tuple[Any, float]] = {}
        # Newest first, of equals the last to come: usually it has all the keys, and that is all.
        for ts, values in reversed(sorted(self._readings, key=TIME)):  # noqa: C413
            if not values.keys() <= latest.keys():
                milliseconds = ts / 1000
                for key, value in values.items():
                    latest.setdefault(key, (value, milliseconds))
                oldest, newest = ts, newest or ts
        latest.pop("ts", None)
        latest.pop("msg_id", None)
        return {
            "device_id": device_id,
            "seen_at": self.seen_at,
            "latest": latest,
            "oldest": oldest,
            "newest": newest,
        }


class Said(NamedTuple):
    """A device's word about its own session, received at `at`."""

    device_id: int
    state: str
    session_id: str
    reason: str
    at: datetime


def record(cursor: Cursor[Any], heard: Mapping[int, Heard], said: Sequence[Said] = ()) -> None:
    """Bring the states of the devices in `heard` (by id) up to date, inside a transaction.

    Every device of `said` has to be in `heard`: one pass locks them all.
    """
    ids = ",".join(map(str, heard))
    if cursor.execute(LOCK, [ids]).fetchone() != (len(heard),):
        cursor.execute(CREATE, [ids])
        cursor.execute(LOCK, [ids])
    batch = [device.record(device_id) for device_id, device in heard.items()]
    cursor.execute(
        MOVE, {"size": LATEST_SIZE, "large": LARGE, "batch": orjson.dumps(batch).decode()}
    )
    if said:
        cursor.executemany(BELIEVE, [word._asdict() for word in said])


def forget_sessions(at: datetime, reason: str) -> None:
    """The broker lost what it knew: every session is unknown until its device is heard again."""
    states = DeviceState.objects.exclude(session=Session.UNKNOWN).exclude(since__gt=at)
    states.update(session=Session.UNKNOWN, session_id="", since=at, reason=reason)
