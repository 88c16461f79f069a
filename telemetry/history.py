"""The readings of one device, a page at a time: the read that every app repeats all day.

Optimization: one statement finds the device and makes the JSON; querysets would cost more than the
database does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from devices.models import VISIBLE_DEVICE, Device, visibility
from telemetry.representation import record

RECENT = timedelta(days=14)
"""Nearly every page lies in these last days; each older week is a table more to look into."""
EARLIEST = datetime.min.replace(tzinfo=UTC) + RECENT

AHEAD = timedelta(days=1)
"""No reading lies further ahead: a time beyond is nonsense, and replaced by that of receipt."""

PAGE = """
SELECT reading.json, reading.ts, reading.id
FROM devices_device AS device LEFT JOIN LATERAL (
    SELECT {json} AS json, ts::text AS ts, id
    FROM telemetry_telemetry AS reading
    WHERE device_id = device.id AND {bounds}
    ORDER BY reading.ts {direction}, id {direction} LIMIT %(limit)s
) AS reading ON true
WHERE device_uid = %(device_uid)s AND {visible}
"""

ALWAYS_WHOLE = 100
"""Readings of a page that is never cut, however large they are."""
LARGEST_PAGE = 16 * 1024 * 1024
"""Characters of JSON beyond which a longer page is cut."""
FETCHED = max(ALWAYS_WHOLE + 1, 2 * LARGEST_PAGE // settings.MAX_PAYLOAD)
"""Readings that are in memory before their size is known."""


class Row(NamedTuple):
    """A reading as JSON, and its place in the list."""

    json: str
    ts: str
    id: int


class Page(NamedTuple):
    """Rows in their order; with `is_cut` fewer than wanted, as they would become too large."""

    rows: list[Row]
    is_cut: bool = False


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

    def newest(self, limit: int, after: Place | None = None) -> Page:
        """Up to `limit` readings, newest first; Device.DoesNotExist if the user sees no such."""
        latest = timezone.now() + AHEAD
        last = after.ts if after else min(self.end or latest, latest)
        recent = max(last, EARLIEST) - RECENT
        if self.start and self.start >= recent:
            return self._read("DESC", limit, after)
        page = self._read("DESC", limit, after, "ts >= %(recent)s", recent=recent)
        left = limit - len(page.rows)
        if page.is_cut or not left:
            return page
        older = self._read("DESC", left, after, "ts < %(recent)s", recent=recent)
        return Page(page.rows + older.rows, older.is_cut)

    def oldest(self, limit: int, after: Place | None = None) -> Page:
        """As `newest`, but oldest first."""
        return self._read("ASC", limit, after)

    def _read(
        self, direction: str, limit: int, after: Place | None, bound: str = "true", **values: Any
    ) -> Page:
        place = after._asdict() if after else {}
        query = PAGE.format(
            json=record("device_uid", "%(keys)s" if self.keys else ""),
            bounds=" AND ".join([bound, *self._bounds(direction, after)]),
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
        rows, is_cut = whole(query, values) if limit <= FETCHED else in_parts(query, values)
        if not rows:
            raise Device.DoesNotExist
        # Of a device without a reading there is one row, of nothing.
        return Page([Row._make(row) for row in rows if row[0] is not None], is_cut)

    def _bounds(self, direction: str, after: Place | None) -> Iterator[str]:
        if self.start:
            yield "ts >= %(start)s"
        if self.end:
            yield "ts < %(end)s"
        if after:
            sign = "<" if direction == "DESC" else ">"
            # The first follows from the second, but only it lets whole weeks be skipped.
            yield f"ts {sign}= %(ts)s AND (ts, id) {sign} (%(ts)s, %(id)s)"


def whole(query: str, values: dict[str, Any]) -> tuple[list[Any], bool]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall(), False


def in_parts(query: str, values: dict[str, Any]) -> tuple[list[Any], bool]:
    """The rows until there are LARGEST_PAGE characters, and whether there may be more."""
    rows: list[Any] = []
    characters = 0
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(query, values)
        while part := cursor.fetchmany(FETCHED):
            rows += part
            characters += sum(len(row[0] or "") for row in part)
            if characters >= LARGEST_PAGE:
                return rows, len(rows) < values["limit"]
    return rows, False
