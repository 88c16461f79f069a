"""Moves `DeviceState` forward: last seen, latest values, flow of data, session. The only place that
writes it.

Rows are always locked in the order of their key, so that several ingestors cannot deadlock; and
before commands, whose rows come after.
"""

from collections.abc import Collection, Mapping, Sequence, Sized
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction
from django.utils.translation import gettext_noop as _
from psycopg import Cursor

from accounts.words import sentence
from devices.commands import outbox
from devices.daemon.faults import Fault, fault_of
from devices.models import Session

# A device that invents new keys for ever starts over with its newest reading at this size, in
# characters. Only what is large even as PostgreSQL keeps it, compressed, is measured.
LATEST_SIZE = 256 * 1024
LARGE = 8 * 1024

TIME = itemgetter(0)
SECOND = 1_000_000

EVIDENT = sentence(_("It sends data, though it is offline by its last word."))

LOCK = """
SELECT count(*), array_agg(device_id) FILTER (WHERE session = 'offline') FROM (
    SELECT device_id, session FROM devices_devicestate
    WHERE device_id = ANY(string_to_array(%s, ',')::bigint[])
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
# one of numbers above, cost a fifth of as many array parameters. What pause is too long is looked
# up only after one of more than a second, for no type calls less a silence.
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
    END,
    data_at = greatest(state.data_at, heard.data_to),
    data_since = CASE
        WHEN heard.data_to IS NULL
            OR batch.pauses IS NULL AND heard.data_from <= state.data_at + interval '1 second'
            THEN state.data_since
        ELSE coalesce((
            SELECT 'epoch'::timestamptz + max(pause.until) * interval '1 microsecond'
            FROM devices_device AS device JOIN devices_devicetype AS type ON type.id = type_id
            CROSS JOIN LATERAL (
                SELECT extract(epoch FROM state.data_at) * 1000000 AS since,
                    batch.data_from AS until
                UNION ALL
                SELECT (value ->> 0)::bigint, (value ->> 1)::bigint
                FROM jsonb_array_elements(batch.pauses)
            ) AS pause
            WHERE device.id = state.device_id
              AND pause.until - pause.since > offline_after * 1000000::bigint
        ), state.data_since, heard.data_from)
    END
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    device_id bigint, seen_at bigint, latest jsonb, oldest bigint, newest bigint,
    data_from bigint, data_to bigint, pauses jsonb
)
CROSS JOIN LATERAL (SELECT
    batch.latest,
    'epoch'::timestamptz + batch.data_from * interval '1 microsecond' AS data_from,
    'epoch'::timestamptz + batch.data_to * interval '1 microsecond' AS data_to,
    'epoch'::timestamptz + batch.seen_at * interval '1 microsecond' AS seen_at,
    'epoch'::timestamptz + batch.oldest * interval '1 microsecond' AS oldest,
    'epoch'::timestamptz + batch.newest * interval '1 microsecond' AS newest
) AS heard
WHERE state.device_id = batch.device_id
"""


# A Last Will comes late: the device may be back by then, under a new session id, and an end of the
# former session is not believed. Of two batches that commit out of order the later word holds. Said
# twice, with readings in between, an end is a new one. A beginning without a name may be a new one
# each time it is said: nothing changes but that what was not answered is published again.
BELIEVE = """
UPDATE devices_devicestate
SET session = %(state)s, session_id = %(session_id)s, reason = %(reason)s,
    since = CASE
        WHEN (session, session_id) = ('online', '') AND %(state)s = 'online'
            AND %(session_id)s = '' THEN since
        ELSE %(at)s
    END
WHERE device_id = %(device_id)s
  AND (since IS NULL OR since <= %(at)s)
  AND (
    (session, session_id) IS DISTINCT FROM (%(state)s, %(session_id)s)
    OR session = 'online' AND session_id = '' AND since < %(at)s
    OR session = 'offline' AND data_at > since AND data_at <= %(at)s
  )
  AND (%(state)s <> 'offline' OR %(session_id)s = '' OR session_id IN ('', %(session_id)s))
RETURNING device_id, session
"""

# Who sends what is no status is connected, whatever it said before. What came later may have been
# stored first.
DOUBT = """
UPDATE devices_devicestate AS state
SET session = 'unknown', since = greatest(sent.at, data_at), reason = %(reason)s
FROM (
    SELECT device_id, 'epoch'::timestamptz + at * interval '1 microsecond' AS at
    FROM unnest(%(ids)s::bigint[], %(times)s::bigint[]) AS sent (device_id, at)
) AS sent
WHERE state.device_id = sent.device_id AND session = 'offline'
  AND (sent.at >= since OR data_at > since)
RETURNING state.device_id
"""

FORGET = """
WITH known AS (
    SELECT device_id FROM devices_devicestate
    WHERE session <> 'unknown' AND (since IS NULL OR since <= %(at)s)
    ORDER BY device_id FOR NO KEY UPDATE
)
UPDATE devices_devicestate AS state
SET session = 'unknown', session_id = '', since = %(at)s, reason = %(reason)s
FROM known WHERE state.device_id = known.device_id
"""

# The broker tells nobody that it ended a session for us. Who came in with the newest credential
# has begun another one since.
CUT_OFF = """
WITH cut AS (
    SELECT device_id, (is_enabled AND credential.at IS NOT NULL) AS is_admitted
    FROM devices_devicestate AS state
    JOIN devices_device AS device ON device.id = device_id
    CROSS JOIN LATERAL (
        SELECT max(created_at) AS at FROM devices_credential AS credential
        WHERE credential.device_id = device.id AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > statement_timestamp())
    ) AS credential
    WHERE device_uid = ANY(%(uids)s) AND session = 'online'
      AND (NOT is_enabled OR credential.at IS NULL OR since < credential.at)
    ORDER BY device_id FOR NO KEY UPDATE OF state
)
UPDATE devices_devicestate AS state
SET session_id = '', since = statement_timestamp(),
    session = CASE WHEN is_admitted THEN 'unknown' ELSE 'offline' END,
    reason = CASE WHEN is_admitted THEN %(replaced)s ELSE %(taken)s END
FROM cut WHERE state.device_id = cut.device_id
"""
TAKEN_AWAY = sentence(_("Its access was taken away."))
REPLACED = sentence(_("It got a new credential, and was not heard with it yet."))


class Heard:
    """What a batch says about one device; times are microseconds since the Unix epoch."""

    __slots__ = ("_data_from", "_data_to", "_pauses", "_readings", "seen_at", "sent_at")

    def __init__(self) -> None:
        self.seen_at = self.sent_at = self._data_from = self._data_to = 0
        self._pauses: list[tuple[int, int]] = []
        self._readings: list[tuple[int, dict[str, Any]]] = []

    def said(self, at: int) -> None:
        """It said something of its session, which tells more than what it sent before."""
        self.seen_at = max(self.seen_at, at)
        self.sent_at = 0

    def sent(self, at: int, readings: Sized) -> None:
        """It sent something else, with so many readings, be they new or known already."""
        self.sent_at = at
        if at > self.seen_at:
            self.seen_at = at
        if readings:
            if not self._data_to:
                self._data_from = at
            elif at > self._data_to + SECOND:
                self._pauses.append((self._data_to, at))
            if at > self._data_to:
                self._data_to = at

    def add(self, ts: int, values: dict[str, Any]) -> None:
        """Take in one new reading, of the moment `ts`."""
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
            "data_from": self._data_from or None,
            "data_to": self._data_to or None,
            "pauses": self._pauses or None,
        }


class Said(NamedTuple):
    """A device's word about its own session, received at `at`."""

    device_id: int
    state: str
    session_id: str
    reason: str
    at: datetime


def record(cursor: Cursor[Any], heard: Mapping[int, Heard], said: Sequence[Said] = ()) -> set[int]:
    """Bring the states of the devices in `heard` (by id) up to date, inside a transaction.

    Every device of `said` has to be in `heard`: one pass locks them all. Returns the devices that
    have come back: in a new session, or evidently.
    """
    offline = _lock(cursor, heard)
    batch = [device.record(device_id) for device_id, device in heard.items()]
    cursor.execute(
        MOVE, {"size": LATEST_SIZE, "large": LARGE, "batch": orjson.dumps(batch).decode()}
    )
    back: set[int] = set()
    for device_id, session in _believe(cursor, said):
        (offline if session == Session.OFFLINE else back).add(device_id)
    return back | _doubt(cursor, {device_id: heard[device_id].sent_at for device_id in offline})


def _lock(cursor: Cursor[Any], heard: Mapping[int, Heard]) -> set[int]:
    """Lock the states, new ones made where there are none; returns whose session is offline."""
    ids = ",".join(map(str, heard))
    ((count, offline),) = cursor.execute(LOCK, [ids])
    if count != len(heard):
        cursor.execute(CREATE, [ids])
        ((_, offline),) = cursor.execute(LOCK, [ids])
    return set(offline or ())


def _believe(cursor: Cursor[Any], said: Sequence[Said]) -> list[tuple[int, str]]:
    """Which sessions the words change, in their order, and to what."""
    changed = []
    if said:
        cursor.executemany(BELIEVE, [word._asdict() for word in said], returning=True)
        for _ in cursor.results():
            changed += cursor.fetchall()
    return changed


def _doubt(cursor: Cursor[Any], sent: Mapping[int, int]) -> set[int]:
    """Whose end of session is not true any more: of those in `sent`, by when they sent something
    since it was said, if they did."""
    if not sent:
        return set()
    parameters = {"ids": [*sent], "times": [*sent.values()], "reason": EVIDENT}
    return {device_id for (device_id,) in cursor.execute(DOUBT, parameters)}


def cut_off(uids: Collection[str]) -> None:
    """The broker has ended the sessions of these devices, as far as what holds now does not let
    them in as they came; inside a transaction."""
    if uids:
        parameters: dict[str, Any] = {"uids": list(uids), "taken": TAKEN_AWAY, "replaced": REPLACED}
        with connection.cursor() as cursor:
            cursor.execute(CUT_OFF, parameters)


def forget_sessions(at: datetime, reason: str) -> None:
    """The broker lost what it knew: every session is unknown until its device is heard again.

    Nor has it what it was to deliver: unanswered commands are published again.
    """
    try:
        _forget_sessions(at, reason, tell=True)
    except Exception as error:
        # Whoever would listen looks every few seconds as well.
        if fault_of(error) is not Fault.LISTENERS:
            raise
        _forget_sessions(at, reason, tell=False)


@transaction.atomic
def _forget_sessions(at: datetime, reason: str, *, tell: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGET, {"at": at, "reason": reason})
        outbox.resume_all(cursor, tell=tell)
