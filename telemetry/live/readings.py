"""What is read when ingest tells that devices were heard."""

import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection

from devices.facts import SESSION_REASON
from telemetry.live.ring import Event, Kind, Subject, reset
from telemetry.representation import record
from telemetry.telling import Span, Told

EVENT = "telemetry"
# Of a device at a time; who sends more at once is better loaded anew.
MOST = 500
# In bytes as PostgreSQL keeps them, compressed.
LARGEST = 1024 * 1024

# Served by the key (device, ts, id). Optimization: all spans together are compared with as well, as
# constants, for which other partitions than theirs are not even planned.
READ = f"""
SELECT device.id, device.tenant_id, json_build_object(
    'device_uid', device_uid,
    'last_seen_at', last_seen_at,
    'session', session,
    'session_since', since,
    'session_reason', {SESSION_REASON.sql.format(session="session", reason="reason")}
)::text, reading.id, reading.json
FROM unnest(%(devices)s::bigint[], %(starts)s::bigint[], %(ends)s::bigint[])
    AS told (id, start, "end")
JOIN devices_device AS device ON device.id = told.id
JOIN devices_devicestate AS state ON state.device_id = told.id
LEFT JOIN LATERAL (
    SELECT id, ts, CASE WHEN size <= {LARGEST} THEN {record("device_uid")} END AS json
    FROM (
        SELECT id, ts, msg_id, payload, sum(pg_column_size(payload)) OVER (ORDER BY ts, id) AS size
        FROM telemetry_telemetry
        WHERE device_id = told.id
          AND ts BETWEEN 'epoch'::timestamptz + told.start * interval '1 microsecond'
                     AND 'epoch'::timestamptz + told."end" * interval '1 microsecond'
          AND ts BETWEEN 'epoch'::timestamptz + %(start)s * interval '1 microsecond'
                     AND 'epoch'::timestamptz + %(end)s * interval '1 microsecond'
          AND id BETWEEN %(first)s AND %(last)s
        ORDER BY ts, id LIMIT {MOST + 1}
    ) AS sized
) AS reading ON true
WHERE deleted_at IS NULL
ORDER BY device.id, reading.ts, reading.id
"""

Row = tuple[int, int, str, int | None, str | None]


class GivenOut:
    """The ids of readings that were given out, for as long as they may be told of again.

    Two ingestors store at the same time, and what one tells of may lie among the other's.
    """

    SECONDS = 60
    MOST = 200_000

    def __init__(self) -> None:
        self._now: set[int] = set()
        self._before: set[int] = set()
        self._since = time.monotonic()

    def take(self, reading_id: int) -> bool:
        """Whether it is to be given out: it is new."""
        if reading_id in self._now or reading_id in self._before:
            return False
        self._now.add(reading_id)
        return True

    def forget(self) -> None:
        """Those of long ago."""
        if time.monotonic() - self._since > self.SECONDS or len(self._now) > self.MOST:
            self._now, self._before, self._since = set(), self._now, time.monotonic()


class Readings:
    """Makes events of what ingest tells."""

    def __init__(self) -> None:
        self._given = GivenOut()

    def events(self, told: Told) -> Iterator[Event]:
        """One for each device that `told` names, with its new readings if it has any."""
        if not told.devices:
            return
        self._given.forget()
        with connection.cursor() as cursor:
            cursor.execute(READ, parameters(told.devices, told.ids or (0, 0)))
            rows: list[Row] = cursor.fetchall()
        for _, of_device in groupby(rows, itemgetter(0)):
            yield self._event(list(of_device))

    def _event(self, rows: list[Row]) -> Event:
        device_id, tenant_id, head, *_ = rows[0]
        subject = Subject(Kind.DEVICE, device_id)
        readings = [
            json for *_, number, json in rows if number is not None and self._given.take(number)
        ]
        whole = [json for json in readings if json is not None]
        if len(rows) > MOST or len(whole) < len(readings):
            return reset(subject)
        data = f'{head.removesuffix("}")}, "readings": [{", ".join(whole)}]}}'
        return Event(EVENT, data, frozenset([subject]), tenant_id)


def parameters(devices: Mapping[int, Span | None], ids: tuple[int, int]) -> dict[str, Any]:
    spans = [span for span in devices.values() if span]
    return {
        "devices": [*devices],
        "starts": [span and span.start for span in devices.values()],
        "ends": [span and span.end for span in devices.values()],
        "start": min((span.start for span in spans), default=0),
        "end": max((span.end for span in spans), default=0),
        "first": ids[0],
        "last": ids[1],
    }
