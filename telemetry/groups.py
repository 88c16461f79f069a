"""Open rejected messages by reason and device, counted without reading all of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from telemetry.models import RejectedMessageQuerySet

COUNTED = 1_000
"""A group is counted up to here: a broken device can send millions."""

# Optimization: from each device to the next by one look into an index (rejected_open_by_group, or
# rejected_open_by_reason for platform staff), and in each group no further than COUNTED. A GROUP BY
# would read every message.
GROUPS = """
WITH RECURSIVE pair AS (
    SELECT wanted.reason, first.device_uid, 1 AS number
    FROM unnest(%(reasons)s::text[]) AS wanted (reason) CROSS JOIN LATERAL (
        SELECT device_uid FROM ({open}) AS message
        WHERE reason = wanted.reason AND device_uid {follows} %(after)s
        ORDER BY device_uid LIMIT 1
    ) AS first
    UNION ALL
    SELECT pair.reason, next.device_uid, number + 1
    FROM pair CROSS JOIN LATERAL (
        SELECT device_uid FROM ({open}) AS message
        WHERE reason = pair.reason AND device_uid > pair.device_uid
        ORDER BY device_uid LIMIT 1
    ) AS next
    WHERE number < %(limit)s
)
SELECT reason, device_uid, count, oldest, newest
FROM pair CROSS JOIN LATERAL (
    SELECT count(*), min(received_at) AS oldest FROM (
        SELECT received_at FROM ({open}) AS message
        WHERE reason = pair.reason AND device_uid = pair.device_uid
        ORDER BY received_at LIMIT %(counted)s
    ) AS few
) AS counted CROSS JOIN LATERAL (
    SELECT received_at AS newest FROM ({open}) AS message
    WHERE reason = pair.reason AND device_uid = pair.device_uid
    ORDER BY received_at DESC LIMIT 1
) AS last
ORDER BY reason, device_uid
"""

# Without the order PostgreSQL expects to find COUNTED at once, and reads the whole table for each
# reason that there is not; in it, the same indexes serve.
TOTALS = """
SELECT reason, count
FROM unnest(%(reasons)s::text[]) AS wanted (reason) CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT 1 FROM ({open}) AS message WHERE reason = wanted.reason
        ORDER BY device_uid LIMIT %(counted)s
    ) AS few
) AS counted
WHERE count > 0
"""


class Group(NamedTuple):
    """Messages of one device with one reason; `number` stops at COUNTED."""

    reason: str
    device_uid: str
    number: int
    oldest: datetime
    newest: datetime


def groups(
    messages: RejectedMessageQuerySet, reasons: Sequence[str], limit: int, after: str | None = None
) -> list[Group]:
    """The first `limit` groups of each reason in order of the device, those behind `after`.

    `messages` is whose they are, by `visible_to`; the open ones of them count.
    """
    rows = _asked(
        GROUPS.replace("{follows}", ">=" if after is None else ">"),
        messages,
        {"reasons": list(reasons), "limit": limit, "after": after or ""},
    )
    return [Group(*row) for row in rows]


def totals(messages: RejectedMessageQuerySet, reasons: Sequence[str]) -> dict[str, int]:
    """How many of `messages` are open with each reason that there is, up to COUNTED."""
    return dict(_asked(TOTALS, messages, {"reasons": list(reasons)}))


def _asked(statement: str, messages: RejectedMessageQuerySet, values: dict) -> list[tuple]:
    """The rows of `statement`, in which {open} are the open ones of `messages`."""
    chosen = messages.open().order_by().values("reason", "device_uid", "received_at")
    inner, parameters = chosen.query.sql_with_params()
    named = {f"own{number}": value for number, value in enumerate(parameters)}
    inner = inner % tuple(f"%({name})s" for name in named)
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("{open}", inner), {**values, **named, "counted": COUNTED})
        return cursor.fetchall()
