"""Gives a rejected message another chance, once whatever was wrong with it is mended."""

from itertools import count

from django.db import transaction
from django.utils import timezone

from telemetry.decode import EPOCH, MICROSECOND
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import store
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason

STORED, DUPLICATE, REJECTED = "stored", "duplicate", "rejected"


def replay(rejected: RejectedMessage) -> str:
    """Send `rejected` through the same door again; returns "stored", "duplicate" or "rejected".

    Stored, or known already, it is resolved in the same transaction. Rejected again, it stays open
    with the new reason.
    """
    again: list[Incoming] = []
    with transaction.atomic():
        tally = store([_decoded(rejected)], keep=again.extend)
        if again and (fault := again[-1].rejected):
            rejected.reason, rejected.detail = fault.reason, fault.detail
            rejected.save(update_fields=["reason", "detail"])
            return REJECTED
        rejected.resolved_at = timezone.now()
        rejected.save(update_fields=["resolved_at"])
    # A status is no reading, so nothing is counted of it.
    return DUPLICATE if tally.duplicate and not tally.stored else STORED


def _decoded(rejected: RejectedMessage) -> Incoming:
    topic = bytes(rejected.topic).decode(errors="surrogateescape")
    payload = bytes(rejected.payload)
    received_at = (rejected.received_at - EPOCH) // MICROSECOND
    if rejected.reason == Reason.MALFORMED_PACKET or rejected.size > len(payload):
        # A broken frame is no payload, nor is one that was too large to be kept whole.
        message = Incoming(topic, payload, received_at)
        return message.reject(Reason(rejected.reason), rejected.detail)
    # Readings without an id get one from the rejected message: replaying twice stores once.
    ids = (f"{rejected.pk.hex}-{number}" for number in count())
    return decode_message(topic, payload, received_at, new_id=ids.__next__)
