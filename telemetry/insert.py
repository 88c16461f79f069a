"""Readings of a batch into the tables: one COPY and one statement, what is known left out."""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from psycopg import Cursor

from devices.models import KnownDevice
from telemetry.decode import Reading
from telemetry.incoming import Incoming
from telemetry.reasons import Reason
from telemetry.telling import Ids

# PostgreSQL counts microseconds from 2000 on.
POSTGRES_EPOCH = 946_684_800_000_000
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = struct.pack(">h", -1)
COPY_PARTS = 4_000
DEVICE_TS_ID = struct.Struct(">h iq iq i")
DIGEST_RECEIVED_PAYLOAD = struct.Struct(">iq iq ib")

# Rows of an earlier batch are still there only if both share one transaction.
INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    device_id bigint, ts timestamptz, msg_id varchar(64) COLLATE "C", digest bigint,
    received_at timestamptz, payload jsonb
) ON COMMIT DELETE ROWS;
DELETE FROM incoming
"""

# In the order of the key, so that two ingestors with the same messages wait and never deadlock.
INSERT = """
WITH fresh AS (
    INSERT INTO telemetry_receipt (device_id, msg_id, digest, received_at)
    SELECT device_id, msg_id, digest, received_at FROM incoming ORDER BY device_id, msg_id
    ON CONFLICT DO NOTHING
    RETURNING device_id, msg_id
), stored AS (
    INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
    SELECT device_id, ts, msg_id, received_at, payload
    FROM incoming JOIN fresh USING (device_id, msg_id)
    RETURNING id
)
SELECT count(*), min(id), max(id) FROM stored
"""

# The receipts of other messages. A statement of its own: only a new snapshot shows what others
# committed while we waited for them.
KNOWN = """
SELECT device_id, msg_id, receipt.digest
FROM incoming JOIN telemetry_receipt AS receipt USING (device_id, msg_id)
WHERE receipt.received_at <> incoming.received_at OR receipt.digest <> incoming.digest
"""

RECEIPTS = """
SELECT device_id, msg_id, digest FROM telemetry_receipt
JOIN unnest(%s::bigint[], %s::text[]) AS wanted (device_id, msg_id) USING (device_id, msg_id)
"""

# (device id, msg_id)
Key = tuple[int, str]
# The place of the message in the batch, its time of receipt, the reading.
Rows = dict[Key, tuple[int, int, Reading]]


class Stored(NamedTuple):
    """How many readings were new, and between which ids they lie, if there were any."""

    readings: int = 0
    ids: Ids | None = None


def insert(cursor: Cursor[Any], rows: Rows) -> tuple[Stored, dict[Key, int]]:
    """Insert the readings that have no receipt yet, and their receipts.

    Returns what these were, and for the others key → digest of the message that has it.
    """
    cursor.execute(INCOMING)
    with cursor.copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
        for data in _copy_data(rows):
            copy.write(data)
    ((count, first, last),) = cursor.execute(INSERT)
    stored = Stored(count, (first, last) if count else None)
    if count == len(rows):
        return stored, {}
    known = cursor.execute(KNOWN).fetchall()
    return stored, {(device, msg_id): digest for device, msg_id, digest in known}


def receipts(cursor: Cursor[Any], keys: Iterable[Key]) -> dict[Key, int]:
    """Of `keys`, those that have a receipt, with its digest."""
    wanted = list(keys)
    found = cursor.execute(RECEIPTS, [[key[0] for key in wanted], [key[1] for key in wanted]])
    return {(device, msg_id): digest for device, msg_id, digest in found}


def unique_rows(messages: list[Incoming], devices: dict[str, KnownDevice]) -> Rows:
    """The readings, each id once; rejects messages that reuse an id of the batch."""
    rows: Rows = {}
    for index, message in enumerate(messages):
        if not message.readings:
            continue
        device_id = devices[message.uid].id
        own: Rows = {}
        for reading in message.readings:
            key = (device_id, reading.msg_id)
            first = rows.get(key) or own.get(key)
            if first is None:
                own[key] = (index, message.received_at, reading)
            elif first[2].digest != reading.digest:
                messages[index] = message.reject(Reason.MSG_ID_REUSED, f"msg_id {reading.msg_id}")
                break
        else:
            rows |= own
    return rows


def _copy_data(rows: Rows) -> Iterator[bytes]:
    """The rows in PostgreSQL's binary COPY format.

    Optimization: packed by hand, a third of what psycopg's row by row conversion takes; in parts,
    so that PostgreSQL reads one while the next is packed.
    """
    parts = [COPY_HEADER]
    for (device_id, msg_id), (_, received_at, reading) in rows.items():
        id_bytes = msg_id.encode()
        parts += (
            DEVICE_TS_ID.pack(6, 8, device_id, 8, reading.ts - POSTGRES_EPOCH, len(id_bytes)),
            id_bytes,
            DIGEST_RECEIVED_PAYLOAD.pack(
                8, reading.digest, 8, received_at - POSTGRES_EPOCH, len(reading.payload) + 1, 1
            ),
            reading.payload,
        )
        if len(parts) > COPY_PARTS:
            yield b"".join(parts)
            parts = []
    parts.append(COPY_TRAILER)
    yield b"".join(parts)
