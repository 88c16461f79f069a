"""Stores messages for good: exactly once, in batches, each in one transaction.

The one write behind every door (MQTT, replay). Its three outcomes: what can be stored is stored or
known already; what never can be is kept as a `RejectedMessage`; and if the database cannot now, an
error says so (`telemetry/faults.py`) and nothing of the batch has happened.
"""

import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection, transaction

from accounts.models import Tenant
from devices import state
from devices.models import Device, KnownDevice
from devices.mqtt import topics
from telemetry import partitions
from telemetry.decode import (
    DAY,
    EPOCH,
    MICROSECOND,
    Limits,
    Reading,
    Status,
    decode,
    decode_status,
    uuid7,
)
from telemetry.faults import Fault, fault_of
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason, Rejected

logger = logging.getLogger(__name__)

parse_topic = lru_cache(maxsize=100_000)(topics.parse)

# PostgreSQL counts microseconds from 2000 on.
POSTGRES_EPOCH = 946_684_800_000_000
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = struct.pack(">h", -1)
COPY_PARTS = 4_000
DEVICE_TS_ID = struct.Struct(">h iq iq i")
DIGEST_RECEIVED_PAYLOAD = struct.Struct(">iq iq ib")
NOTIFY_LIMIT = 7_900

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
)
INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
SELECT device_id, ts, msg_id, received_at, payload
FROM incoming JOIN fresh USING (device_id, msg_id)
"""

REUSED = """
SELECT device_id, msg_id FROM incoming JOIN telemetry_receipt AS receipt USING (device_id, msg_id)
WHERE receipt.digest <> incoming.digest
"""


class Incoming(NamedTuple):
    """One message, decoded. `received_at` in microseconds since the epoch; `number` tells equal
    messages of one moment apart (the packet id, say)."""

    topic: str
    payload: bytes
    received_at: int
    number: int = 0
    tenant: str = ""
    uid: str = ""
    readings: Sequence[Reading] = ()
    status: Status | None = None
    rejected: Rejected | None = None

    def reject(self, reason: Reason, detail: str = "") -> "Incoming":
        """The same message, but never to be stored."""
        rejected = Rejected(reason, detail, readings=len(self.readings) or 1)
        return self._replace(rejected=rejected, readings=(), status=None)


class Tally(NamedTuple):
    """What became of a batch, in readings: received = stored + duplicate + rejected."""

    stored: int = 0
    duplicate: int = 0
    rejected: int = 0

    @property
    def received(self) -> int:
        return self.stored + self.duplicate + self.rejected

    def plus(self, other: "Tally") -> "Tally":
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class _ArrayReused(Exception):
    """Single readings of these messages collide: as an array is atomic, all of it has to go."""

    def __init__(self, messages: set[int]) -> None:
        super().__init__(messages)
        self.messages = messages

    def without_them(self, batch: Sequence[Incoming]) -> list[Incoming]:
        """The batch with these messages rejected."""
        return [
            message.reject(Reason.MSG_ID_REUSED) if index in self.messages else message
            for index, message in enumerate(batch)
        ]


@cache
def limits() -> Limits:
    """What a message may be, as configured."""
    return Limits(settings.MAX_PAYLOAD, settings.HISTORY_DAYS * DAY)


def decode_message(
    topic: str,
    payload: bytes,
    received_at: int,
    number: int = 0,
    new_id: Callable[[], str] = uuid7,
) -> Incoming:
    """Decode a message of a device. Never raises: what is wrong with it is in the result."""
    tenant = uid = ""
    readings: Sequence[Reading] = ()
    status = rejected = None
    try:
        tenant, uid, kind = parse_topic(topic)
        if kind == "status":
            status = decode_status(payload, settings.MAX_PAYLOAD)
        else:
            readings = decode(payload, received_at, limits(), new_id)
    except topics.TopicError as error:
        rejected = Rejected(Reason.MALFORMED_TOPIC, str(error))
    except Rejected as error:
        rejected = error
    except Exception as error:
        logger.exception("Decoding failed; the message is kept as rejected.")
        rejected = Rejected(Reason.ERROR, repr(error))
    return Incoming(topic, payload, received_at, number, tenant, uid, readings, status, rejected)


def keep_rejected(messages: Sequence[Incoming]) -> None:
    """Keep the bytes of rejected messages, with the reasons, for a person to look into."""
    if not messages:
        return
    tenants = _tenant_ids(message.tenant for message in messages)
    RejectedMessage.objects.bulk_create(
        [
            RejectedMessage(
                id=_rejected_id(message),
                tenant_id=tenants.get(message.tenant),
                device_uid=message.uid,
                received_at=_moment(message.received_at),
                topic=message.topic.encode(errors="surrogateescape"),
                payload=message.payload,
                reason=message.rejected.reason,
                detail=message.rejected.detail,
            )
            for message in messages
            if message.rejected
        ],
        ignore_conflicts=True,
    )


Keep = Callable[[Sequence[Incoming]], None]


def store(batch: Sequence[Incoming], keep: Keep = keep_rejected) -> Tally:
    """Store `batch`; once this returns, it is committed (or will be with the caller's transaction).

    `keep` gets what is rejected, in the same transaction. Raises a database error if the database
    is ill or we are wrong (see `fault_of`). Messages that the database refuses are found by halving
    the batch, and rejected.
    """
    try:
        devices = _devices_of(batch)
        with transaction.atomic():
            messages, stored = _insert(batch, devices)
            _record_states(messages, devices)
            keep([message for message in messages if message.rejected])
            return _tally(messages, stored)
    except _ArrayReused as reused:
        return store(reused.without_them(batch), keep)
    except Exception as error:
        fault = fault_of(error)
        if fault is Fault.PARTITION:
            partitions.make(_weeks_of(batch))
            return store(batch, keep)
        if fault is not Fault.MESSAGE or (len(batch) == 1 and batch[0].rejected):
            raise
        if len(batch) == 1:
            refused = batch[0].reject(Reason.DATABASE, str(error).replace("\0", ""))
            return store([refused], keep)
        half = len(batch) // 2
        return store(batch[:half], keep).plus(store(batch[half:], keep))


def _devices_of(batch: Sequence[Incoming]) -> dict[str, KnownDevice]:
    """The devices of a batch by uid, fresh; unknown ones are registered if that is allowed."""
    uids = {message.uid for message in batch if not message.rejected}
    known = Device.objects.known(uids)
    missing = uids - known.keys()
    if missing and settings.AUTO_REGISTER:
        topics_ = {(m.tenant, m.uid) for m in batch if m.uid in missing and not m.rejected}
        tenants = _tenant_ids(tenant for tenant, _ in topics_)
        Device.objects.register((tenants[t], uid) for t, uid in topics_ if t in tenants)
        known |= Device.objects.known(missing)
    return known


def _tenant_ids(slugs: Iterable[str]) -> dict[str, int]:
    return dict(Tenant.objects.filter(slug__in=set(slugs)).values_list("slug", "id"))


def _admitted(message: Incoming, devices: dict[str, KnownDevice]) -> Incoming:
    """The message itself, or rejected if its device may not say it."""
    device = devices.get(message.uid)
    if message.rejected:
        return message
    if device is None:
        known = message.tenant in _tenant_ids([message.tenant])
        return message.reject(Reason.UNKNOWN_DEVICE if known else Reason.UNKNOWN_TENANT)
    if device.tenant != message.tenant:
        return message.reject(Reason.FOREIGN_DEVICE)
    if not device.is_enabled:
        return message.reject(Reason.DEVICE_DISABLED)
    return message


def _insert(
    batch: Sequence[Incoming], devices: dict[str, KnownDevice]
) -> tuple[list[Incoming], int]:
    """Insert what is new; returns the messages, some rejected by now, and how many rows it were."""
    messages = [_admitted(message, devices) for message in batch]
    rows = _unique_rows(messages, devices)
    if not rows:
        return messages, 0
    cursor = psycopg.Cursor(connection.connection)
    cursor.execute(INCOMING)
    with cursor.copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
        for data in _copy_data(rows):
            copy.write(data)
    stored = cursor.execute(INSERT).rowcount
    if stored < len(rows):
        reused = {rows[key][0] for key in cursor.execute(REUSED).fetchall()}
        if arrays := {index for index in reused if len(messages[index].readings) > 1}:
            raise _ArrayReused(arrays)
        for index in reused:
            messages[index] = messages[index].reject(Reason.MSG_ID_REUSED)
    return messages, stored


# (device id, msg_id) → the place of its message in the batch, time of receipt, reading.
Rows = dict[tuple[int, str], tuple[int, int, Reading]]


def _unique_rows(messages: list[Incoming], devices: dict[str, KnownDevice]) -> Rows:
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


def _record_states(messages: Sequence[Incoming], devices: dict[str, KnownDevice]) -> None:
    """Move the devices' states, and tell listeners which devices were heard."""
    heard: dict[int, state.Heard] = {}
    said = []
    for message in messages:
        if message.rejected:
            continue
        device_id = devices[message.uid].id
        device = heard.get(device_id)
        if device is None:
            device = heard[device_id] = state.Heard()
        device.seen_at = max(device.seen_at, message.received_at)
        for reading in message.readings:
            device.add(reading.ts, reading.values)
        if message.status:
            said.append(state.Said(device_id, *message.status, at=_moment(message.received_at)))
    if not heard:
        return
    cursor = psycopg.Cursor(connection.connection)
    state.record(cursor, heard, said)
    names = ",".join(map(str, heard))
    cursor.execute(
        "SELECT pg_notify('telemetry', %s)", [names if len(names) < NOTIFY_LIMIT else "*"]
    )


def _rejected_id(message: Incoming) -> UUID:
    """The same for a message that is stored once more in a retry, another for an equal message."""
    digest = blake2b(f"{message.received_at} {message.number} ".encode(), digest_size=16)
    digest.update(message.topic.encode(errors="surrogateescape") + b"\0" + message.payload)
    return UUID(bytes=digest.digest())


def _tally(messages: Sequence[Incoming], stored: int) -> Tally:
    accepted = sum(len(message.readings) for message in messages)
    rejected = sum(message.rejected.readings for message in messages if message.rejected)
    return Tally(stored, accepted - stored, rejected)


def _weeks_of(batch: Sequence[Incoming]) -> set[date]:
    return {
        partitions.week_of(_moment(reading.ts)) for message in batch for reading in message.readings
    }


def _moment(microseconds: int) -> datetime:
    return EPOCH + microseconds * MICROSECOND
