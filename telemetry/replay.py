"""Gives rejected messages another chance, once whatever was wrong with them is mended."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import count
from typing import NamedTuple
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.utils import timezone

from devices.models import Device
from telemetry import insert
from telemetry.decode import EPOCH, MICROSECOND
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import store
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason

STORED, DUPLICATE, REJECTED = "stored", "duplicate", "rejected"


class Replayed(NamedTuple):
    """A message as it is after it was replayed, and what became of it."""

    message: RejectedMessage
    outcome: str


def replay(rejected: RejectedMessage) -> str | None:
    """Send `rejected` through the same door again; returns "stored", "duplicate" or "rejected".

    None if it is resolved already, by whoever it was.
    """
    done = replay_all([rejected.pk])
    rejected.refresh_from_db(fields=["reason", "detail", "resolved_at"])
    return done[0].outcome if done else None


def replay_all(ids: Collection[UUID]) -> list[Replayed]:
    """Send those of `ids` that are open through the same door again, in the order they came in.

    In one transaction, so give it no more than that should hold. What is stored, or was before, is
    resolved. What is rejected again stays open with the new reason. Of two who replay the same at
    once, one waits, and then finds nothing to do.
    """
    with transaction.atomic():
        waiting = RejectedMessage.objects.lock_open(ids)
        messages = [_decoded(rejected, place) for place, rejected in enumerate(waiting)]
        known = _known(messages)
        again: list[Incoming] = []
        store(messages, keep=again.extend, counted=False)
        faults = {message.number: message.rejected for message in again if message.rejected}
        done = []
        changed: defaultdict[tuple[str, str], list[UUID]] = defaultdict(list)
        for message, rejected in zip(messages, waiting, strict=True):
            if fault := faults.get(message.number):
                if (rejected.reason, rejected.detail) != (fault.reason, fault.detail):
                    rejected.reason, rejected.detail = fault.reason, fault.detail
                    changed[fault.reason, fault.detail].append(rejected.pk)
                done.append(Replayed(rejected, REJECTED))
                continue
            keys = {(message.uid, reading.msg_id) for reading in message.readings}
            # A status is no reading, so nothing of it is known.
            done.append(Replayed(rejected, DUPLICATE if keys and keys <= known else STORED))
            known |= keys
        _resolve([each.message for each in done if each.outcome != REJECTED])
        for (reason, detail), keys_ in changed.items():
            RejectedMessage.objects.filter(pk__in=keys_).update(reason=reason, detail=detail)
    return done


def _resolve(messages: list[RejectedMessage]) -> None:
    now = timezone.now()
    for message in messages:
        message.resolved_at = now
    keys = [message.pk for message in messages]
    RejectedMessage.objects.filter(pk__in=keys).update(resolved_at=now)


def _known(messages: Sequence[Incoming]) -> set[tuple[str, str]]:
    """The readings of `messages` that are stored already, by uid and msg_id."""
    devices = Device.objects.known({message.uid for message in messages if message.readings})
    wanted = {
        (devices[message.uid].id, reading.msg_id): (message.uid, reading.msg_id)
        for message in messages
        if message.uid in devices
        for reading in message.readings
    }
    found = insert.receipts(psycopg.Cursor(connection.connection), wanted) if wanted else {}
    return {wanted[key] for key in found}


def _decoded(rejected: RejectedMessage, number: int) -> Incoming:
    topic = bytes(rejected.topic).decode(errors="surrogateescape")
    payload = bytes(rejected.payload)
    received_at = (rejected.received_at - EPOCH) // MICROSECOND
    if rejected.reason == Reason.MALFORMED_PACKET or rejected.size > len(payload):
        # A broken frame is no payload, nor is one that was too large to be kept whole.
        message = Incoming(topic, payload, received_at, number)
        return message.reject(Reason(rejected.reason), rejected.detail)
    # Readings without an id get one from the rejected message: replaying twice stores once.
    ids = (f"{rejected.pk.hex}-{nth}" for nth in count())
    return decode_message(topic, payload, received_at, number, new_id=ids.__next__)
