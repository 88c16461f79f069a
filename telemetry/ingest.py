"""Stores messages for good: exactly once, in batches, each in one transaction.

The one write behind every door (MQTT, HTTP, replay). Its three outcomes: what can be stored is
stored or known already; what never can be is kept as a `RejectedMessage`; and if the database
cannot now, an error says so (`devices/daemon/faults.py`) and nothing of the batch has happened.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import reduce
from hashlib import blake2b
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection, transaction

from accounts.models import Tenant
from devices import state
from devices.commands import replies
from devices.daemon.faults import Fault, fault_of
from devices.models import Device, KnownDevice
from telemetry import counts, insert, partitions, telling
from telemetry.counts import Tally
from telemetry.decode import EPOCH, MICROSECOND
from telemetry.incoming import Incoming
from telemetry.insert import Rows, Stored
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason
from telemetry.telling import Ids

# Of a rejected message so many times MAX_PAYLOAD are kept: enough to raise the limit and replay.
KEPT_PAYLOADS = 4
NOT_SENT = "No command {id} was sent to this device."

Keep = Callable[[Sequence[Incoming]], None]
Begin = Callable[[], None]


class ReusedError(Exception):
    """Messages at these places use ids of others: without them the part starts over."""

    def __init__(self, places: set[int]) -> None:
        super().__init__(places)
        self.places = places


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
                payload=message.payload[: KEPT_PAYLOADS * settings.MAX_PAYLOAD],
                size=len(message.payload),
                reason=message.rejected.reason,
                detail=message.rejected.detail,
            )
            for message in messages
            if message.rejected
        ],
        ignore_conflicts=True,
    )


class Batch:
    """Messages on their way into the database: one part, unless some have to be isolated.

    A part is one transaction, and safe to repeat. What was learnt about a message stays: one found
    at fault is not tried again, however often the database has to be waited for. `keep` gets the
    rejected messages of a part in its transaction, in which `begin` is called first. Messages that
    came before are not `counted` anew. `reasons` are those of the rejected ones in the `tally`.
    """

    def __init__(
        self,
        messages: Iterable[Incoming],
        keep: Keep = keep_rejected,
        begin: Begin = lambda: None,
        *,
        counted: bool = True,
    ) -> None:
        self.tally = Tally()
        self.reasons = Counter[str]()
        self._messages = list(messages)
        self._parts = [range(len(self._messages))]
        self._keep = keep
        self._begin = begin
        self._counted = counted
        self._tells = True

    @property
    def is_stored(self) -> bool:
        return not self._parts

    @property
    def follows(self) -> bool:
        """Whether it can only be stored after what came before it: the last word has to hold."""
        return any(message.status or message.reply for message in self._messages)

    def store_part(self) -> None:
        """Store the next part, or find out what is wrong with it and change that for next time.

        Raises a database error if the database is ill or we are wrong (see `fault_of`).
        """
        part = self._parts[-1]
        try:
            tally, reasons = self._store([self._messages[place] for place in part])
        except ReusedError as reused:
            for place in reused.places:
                self._reject(part[place], Reason.MSG_ID_REUSED)
        except Exception as error:
            self._isolate(part, error)
        else:
            self._parts.pop()
            self.tally = self.tally.plus(tally)
            self.reasons += reasons

    def _store(self, messages: list[Incoming]) -> tuple[Tally, Counter[str]]:
        devices = _devices_of(messages)
        with transaction.atomic():
            if not self._tells:
                _be_quiet()
            self._begin()
            admitted = _known_commands(_admitted(messages, devices), devices)
            everyone = list(admitted)
            rows = insert.unique_rows(admitted, devices)
            stored = _insert(rows, everyone, devices) if rows else Stored()
            _record(admitted, rows, devices, stored.ids, tell=self._tells)
            rejected = [message for message in admitted if message.rejected]
            self._keep(rejected)
            tallies = counts.by_tenant(admitted, rows, devices, stored.readings)
            if self._counted:
                counts.add(tallies)
        return reduce(Tally.plus, tallies.values(), Tally()), reasons_of(rejected)

    def halve(self) -> None:
        """The next part took too long: let it be two."""
        part = self._parts[-1]
        half = len(part) // 2
        if half:
            self._parts[-1:] = [part[half:], part[:half]]

    def _isolate(self, part: range, error: Exception) -> None:
        fault = fault_of(error)
        if fault is Fault.PARTITION:
            partitions.make(self._weeks(part))
        elif fault is Fault.LISTENERS and self._tells:
            self._tells = False
        elif fault in (Fault.MESSAGE, Fault.SLOW) and len(part) > 1:
            self.halve()
        elif fault is Fault.MESSAGE and not self._messages[part[0]].rejected:
            self._reject(part[0], Reason.DATABASE, str(error).replace("\0", ""))
        else:
            raise error

    def _reject(self, place: int, reason: Reason, detail: str = "") -> None:
        self._messages[place] = self._messages[place].reject(reason, detail)

    def _weeks(self, part: range) -> set[date]:
        return {
            partitions.week_of(_moment(reading.ts))
            for place in part
            for reading in self._messages[place].readings
        }


def store(
    messages: Iterable[Incoming],
    keep: Keep = keep_rejected,
    begin: Begin = lambda: None,
    *,
    counted: bool = True,
) -> Tally:
    """Store `messages`; once this returns, they are (or will be with the caller's transaction)."""
    batch = Batch(messages, keep, begin, counted=counted)
    while not batch.is_stored:
        batch.store_part()
    return batch.tally


def reasons_of(messages: Iterable[Incoming]) -> Counter[str]:
    """How many readings were rejected for each reason."""
    reasons = Counter[str]()
    for message in messages:
        if rejected := message.rejected:
            reasons[rejected.reason] += rejected.readings
    return reasons


def _devices_of(batch: Sequence[Incoming]) -> dict[str, KnownDevice]:
    """The devices of a batch by uid, fresh; unknown ones are registered if that is allowed."""
    uids = {message.uid for message in batch if not message.rejected}
    known = Device.objects.known(uids)
    missing = uids - known.keys()
    if missing and settings.AUTO_REGISTER:
        # A command is sent to devices that are known, so a reply of another one is a mistake.
        registering = [m for m in batch if m.uid in missing and not m.rejected and not m.reply]
        topics_ = {(m.tenant, m.uid) for m in registering}
        tenants = _tenant_ids(tenant for tenant, _ in topics_)
        Device.objects.register((tenants[t], uid) for t, uid in topics_ if t in tenants)
        known |= Device.objects.known(missing)
    return known


def _tenant_ids(slugs: Iterable[str]) -> dict[str, int]:
    return dict(Tenant.objects.filter(slug__in=set(slugs)).values_list("slug", "id"))


def _admitted(messages: Sequence[Incoming], devices: dict[str, KnownDevice]) -> list[Incoming]:
    """The messages, those rejected that their device may not say."""
    strangers = {m.tenant for m in messages if m.uid not in devices and not m.rejected}
    tenants = _tenant_ids(strangers) if strangers else {}

    def admitted(message: Incoming) -> Incoming:
        device = devices.get(message.uid)
        if message.rejected:
            return message
        if device is None and message.tenant not in tenants:
            return message.reject(Reason.UNKNOWN_TENANT)
        if device is None:
            why = "A reply registers no device." if message.reply else _why_not_registered()
            return message.reject(Reason.UNKNOWN_DEVICE, why)
        if device.tenant != message.tenant:
            return message.reject(Reason.FOREIGN_DEVICE)
        return message if device.is_enabled else message.reject(Reason.DEVICE_DISABLED)

    return [admitted(message) for message in messages]


def _why_not_registered() -> str:
    off = "AUTO_REGISTER is off."
    return f"{off} A device has to enrol first: POST /enroll." if settings.ENROLMENT else off


def _be_quiet() -> None:
    """Of commands that move in this transaction, the database tells nobody either."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL iotplatform.quiet = 'on'")


def _insert(rows: Rows, messages: Sequence[Incoming], devices: dict[str, KnownDevice]) -> Stored:
    """Insert `rows`, leaving in them what is new; returns what that was.

    Raises ReusedError with all of `messages` that use the id of a stored one, also those that did
    not come to `rows` because of each other.
    """
    cursor = psycopg.Cursor(connection.connection)
    tried = set(rows)
    stored, known = insert.insert(cursor, rows)
    reused = [key for key, digest in known.items() if rows.pop(key)[2].digest != digest]
    if not reused:
        return stored
    said = [
        (place, (devices[message.uid].id, reading.msg_id), reading.digest)
        for place, message in enumerate(messages)
        for reading in message.readings
    ]
    known |= insert.receipts(cursor, {key for _, key, _ in said} - tried)
    raise ReusedError({place for place, key, digest in said if known.get(key, digest) != digest})


def _known_commands(messages: list[Incoming], devices: dict[str, KnownDevice]) -> list[Incoming]:
    """The messages, those rejected that are replies to no command of their device."""
    if not any(message.reply for message in messages):
        return messages
    known = replies.known(
        (devices[message.uid].id, message.reply.command_id) for message in messages if message.reply
    )
    return [
        message.reject(Reason.UNKNOWN_COMMAND, NOT_SENT.format(id=message.reply.command_id))
        if message.reply and (devices[message.uid].id, message.reply.command_id) not in known
        else message
        for message in messages
    ]


def _record(
    messages: Sequence[Incoming],
    fresh: Rows,
    devices: dict[str, KnownDevice],
    ids: Ids | None,
    *,
    tell: bool,
) -> None:
    """Move the states of the devices and their commands, and tell listeners who was heard.

    Any accepted message means that a device was seen; only new readings have newer values.
    """
    heard: dict[int, state.Heard] = {}
    said = []
    answers = []
    for message in messages:
        if message.rejected:
            continue
        device_id = devices[message.uid].id
        device = heard.get(device_id)
        if device is None:
            device = heard[device_id] = state.Heard()
        if message.status:
            device.said(message.received_at)
            said.append(state.Said(device_id, *message.status, at=_moment(message.received_at)))
        else:
            device.sent(message.received_at, message.readings)
        if message.reply:
            at = _moment(message.received_at)
            answers.append(replies.Reply(device_id, *message.reply, at=at))
    if not heard:
        return
    spans: dict[int, tuple[int, int] | None] = dict.fromkeys(heard)
    for (device_id, _), (_, _, reading) in fresh.items():
        ts = reading.ts
        heard[device_id].add(ts, reading.values)
        span = spans[device_id]
        if span is None:
            spans[device_id] = ts, ts
        elif ts > span[1]:
            spans[device_id] = span[0], ts
        elif ts < span[0]:
            spans[device_id] = ts, span[1]
    cursor = psycopg.Cursor(connection.connection)
    # States first, then commands, as everybody locks them.
    back = state.record(cursor, heard, said)
    replies.record(cursor, answers, back, tell=tell)
    if tell:
        telling.tell(cursor, spans, ids)


def _rejected_id(message: Incoming) -> UUID:
    """The same for a message that is stored once more in a retry, another for an equal message."""
    digest = blake2b(f"{message.received_at} {message.number} ".encode(), digest_size=16)
    digest.update(message.topic.encode(errors="surrogateescape") + b"\0" + message.payload)
    return UUID(bytes=digest.digest())


def _moment(microseconds: int) -> datetime:
    return EPOCH + microseconds * MICROSECOND
