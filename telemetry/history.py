"""The readings of one device, a page at a time: the read that every app repeats all day.

Optimization: one statement finds the device and makes the JSON; querysets would cost more than the
database does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from accounts.models import User
from devices.models import VISIBLE_DEVICE, Device, visibility

RECENT = timedelta(days=14)
"""Nearly every page lies in these last days; each older week is a table more to look into."""
EARLIEST = datetime.min.replace(tzinfo=UTC) + RECENT

PAGE = """
SELECT reading.json, reading.ts, reading.id
FROM devices_device AS device LEFT JOIN LATERAL (
    SELECT json_build_object('device_uid', device_uid, 'payload', {payload}, 'ts', ts,
                             'msg_id', msg_id)::text AS json,
           ts::text AS ts, id
    FROM telemetry_telemetry AS reading
    WHERE device_id = device.id AND {bounds}
    ORDER BY reading.ts {direction}, id {direction} LIMIT %(limit)s
) AS reading ON true
WHERE device_uid = %(device_uid)s AND {visible}
"""
ONLY_KEYS = """(
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(payload) WHERE key = ANY(%(keys)s)
)"""


class Row(NamedTuple):
    """A reading as JSON, and its place in the list."""

    json: str
    ts: str
    id: int


class Place(NamedTuple):
    """Where a page begins: beyond the reading `id` of the moment `ts`."""

    ts: datetime
    id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What `user` wants of a device: since `start`, before `end`, all keys or only `keys`."""

    user: User
    device_uid: str
    start: datetime | None = None
    end: datetime | None = None
    keys: list[str] | None = None

    def newest(self, limit: int, after: Place | None = None) -> list[Row]:
        """Up to `limit` readings, newest first; Device.DoesNotExist if the user sees no such."""
        last = after.ts if after else self.end or timezone.now()
        recent = max(last, EARLIEST) - RECENT
        if self.start and self.start >= recent:
            return self._read("DESC", limit, after)
        rows = self._read("DESC", limit, after, ["ts >= %(recent)s"], recent=recent)
        if len(rows) < limit:
            left = limit - len(rows)
            rows += self._read("DESC", left, after, ["ts < %(recent)s"], recent=recent)
        return rows

    def oldest(self, limit: int, after: Place | None = None) -> list[Row]:
        """As `newest`, but oldest first."""
        return self._read("ASC", limit, after)

    def _read(
        self,
        direction: str,
        limit: int,
        after: Place | None,
        bounds: Sequence[str] = (),
        **values: Any,
    ) -> list[Row]:
        place = after._asdict() if after else {}
        query = PAGE.format(
            payload=ONLY_KEYS if self.keys else "payload",
            bounds=" AND ".join(["true", *bounds, *self._bounds(direction, after)]),
            direction=direction,
            visible=VISIBLE_DEVICE,
        )
        values |= {
            "device_uid": self.device_uid,
            "start": self.start,
            "end": self.end,
            "keys": self.keys,
            "limit": limit,
            **visibility(self.user),
            **place,
        }
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            rows = cursor.fetchall()
        if not rows:
            raise Device.DoesNotExist
        # Of a device without a reading there is one row, of nothing.
        return [Row(*row) for row in rows if row[0] is not None]

    def _bounds(self, direction: str, after: Place | None) -> Iterator[str]:
        if self.start:
            yield "ts >= %(start)s"
        if self.end:
            yield "ts < %(end)s"
        if after:
            sign = "<" if direction == "DESC" else ">"
            # The first follows from the second, but only it lets whole weeks be skipped.
            yield f"ts {sign}= %(ts)s AND (ts, id) {sign} (%(ts)s, %(id)s)"
