"""A message at the door of the platform: decoded, or rejected with its reason."""

import logging
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from django.conf import settings

from devices.mqtt import topics
from telemetry.decode import (
    DAY,
    Limits,
    Reading,
    Reply,
    Status,
    decode,
    decode_reply,
    decode_status,
    uuid7,
)
from telemetry.reasons import Reason, Rejected

logger = logging.getLogger(__name__)

parse_topic = lru_cache(maxsize=100_000)(topics.parse)


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
    reply: Reply | None = None
    rejected: Rejected | None = None

    def reject(self, reason: Reason, detail: str = "") -> "Incoming":
        """The same message, but never to be stored."""
        rejected = Rejected(reason, detail, readings=len(self.readings) or 1)
        return self._replace(rejected=rejected, readings=(), status=None, reply=None)


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
    status = reply = rejected = None
    try:
        tenant, uid, kind = parse_topic(topic)
        if kind == "status":
            status = decode_status(payload, settings.MAX_PAYLOAD)
        elif kind == "replies":
            reply = decode_reply(payload, settings.MAX_PAYLOAD)
        else:
            readings = decode(payload, received_at, limits(), new_id)
    except topics.TopicError as error:
        rejected = Rejected(Reason.MALFORMED_TOPIC, str(error))
    except Rejected as error:
        rejected = error
    except Exception as error:
        logger.exception("Decoding failed; the message is kept as rejected.")
        rejected = Rejected(Reason.ERROR, repr(error))
    return Incoming(
        topic, payload, received_at, number, tenant, uid, readings, status, reply, rejected
    )
