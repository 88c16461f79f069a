"""From the bytes of a message to readings, or to the reason why it can never be stored.

Pure: no database, no settings. docs/mqtt.md has the rules.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from telemetry.parse import parse
from telemetry.reasons import Reason, Rejected

MAX_MSG_ID = 64
MAX_READINGS = 10_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Epoch seconds reach 1e11 in the year 5138; devices that count milliseconds passed it in 1973.
MILLISECONDS_FROM = 1e11
# Beyond this a number is no time in either unit.
NO_TIME_FROM = 1e15

# Only the first so many plain values of a larger message count as latest values.
LARGE = 16_384
LARGE_KEYS = 500
LARGE_TEXT = 256

REPLIES = ("accepted", "progress", "ok", "error")
# Of an error, so many characters are kept.
LONGEST_ERROR = 4_096


class Limits(NamedTuple):
    """What a message may be: bytes of a payload, and how far back a reading's time may lie (µs)."""

    max_payload: int
    history: int


class Reading(NamedTuple):
    """One reading: `ts` in microseconds since the Unix epoch, `payload` as JSON text.

    `digest` is 64 bits of a hash over what the device said, keys sorted, without `msg_id`; `values`
    is what counts for the device's latest values.
    """

    ts: int
    msg_id: str
    digest: int
    payload: bytes
    values: dict[str, Any]


def uuid7() -> str:
    """A new id that sorts by time (RFC 9562, version 7), as 32 hexadecimal digits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | 7 << 76 | random.getrandbits(12) << 64
    return f"{bits | 2 << 62 | random.getrandbits(62):032x}"


def decode(
    raw: bytes, received_at: int, limits: Limits, new_id: Callable[[], str] = uuid7
) -> list[Reading]:
    """The readings in the telemetry body `raw`, received at `received_at` (µs since the epoch).

    `new_id` gives an id to a reading that has neither an id nor a time of its own. Raises
    `Rejected`
    for the body as a whole: an array with one bad element is rejected with the element's index in
    the detail.
    """
    body = parse(raw, limits.max_payload)
    if type(body) is dict:
        return [_reading(body, raw, received_at, limits, new_id)]
    if type(body) is list:
        return _array(body, received_at, limits, new_id)
    return [_reading({"raw": body}, None, received_at, limits, new_id)]


def _array(
    body: list[Any], received_at: int, limits: Limits, new_id: Callable[[], str]
) -> list[Reading]:
    if len(body) > MAX_READINGS:
        detail = f"{len(body):,} readings where {MAX_READINGS:,} are allowed."
        raise Rejected(Reason.TOO_MANY, detail, readings=len(body))
    readings = []
    for index, element in enumerate(body):
        if type(element) is not dict:
            element = {"raw": element}
        try:
            readings.append(_reading(element, None, received_at, limits, new_id))
        except Rejected as rejected:
            detail = f"Element {index}: {rejected.detail}"
            raise Rejected(rejected.reason, detail, readings=len(body)) from None
    return readings


def _reading(
    body: dict[str, Any],
    text: bytes | None,
    received_at: int,
    limits: Limits,
    new_id: Callable[[], str],
) -> Reading:
    """The reading that `body` describes; `text` is its JSON, if it stands alone in the message."""
    own_time = _microseconds(body.get("ts"))
    if own_time is None or own_time > received_at + DAY:
        own_time = None
    elif own_time < received_at - limits.history:
        days = limits.history // DAY
        raise Rejected(Reason.TOO_OLD, f"ts {body['ts']} is more than {days} days back.")

    said = body
    if "msg_id" in body:
        said = body.copy()
        del said["msg_id"]
    digest = blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()

    # Without an id the content of a reading with a time is its id, so that a redelivery is one row.
    # Without a time nothing tells a redelivery from a second equal reading: then the id is new, and
    # stays with the decoded message however often it is retried.
    values = body
    if "values" in said and type(said["values"]) is dict and said.keys() == {"ts", "values"}:
        values, text = said["values"], None
    payload = text if text is not None else orjson.dumps(values)
    return Reading(
        received_at if own_time is None else own_time,
        _given_id(body) or (digest.hex() if own_time is not None else new_id()),
        int.from_bytes(digest[:8], "big", signed=True),
        payload,
        values if len(payload) <= LARGE else _plain_values(values),
    )


def _microseconds(value: Any) -> int | None:
    """A device's `ts` in microseconds since the epoch; None where it is no time."""
    if type(value) is float or type(value) is int:
        if abs(value) >= NO_TIME_FROM:
            return None
        return round(value * (1_000 if value >= MILLISECONDS_FROM else SECOND))
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - EPOCH) // MICROSECOND
    except (ValueError, OverflowError):
        return None


def _given_id(body: dict[str, Any]) -> str | None:
    """The id that the device gave its reading, if any."""
    value = body.get("msg_id")
    if type(value) is str and 0 < len(value) <= MAX_MSG_ID:
        return value
    if type(value) is int:
        return str(value)
    if value is not None:
        raise Rejected(Reason.BAD_MSG_ID, f"msg_id is {_shown(value)}.")
    return None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}… ({len(shown)} characters)"


def _plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """The first plain values of a large reading, so that a device's state stays small."""
    plain: dict[str, Any] = {}
    for key, value in values.items():
        is_text = isinstance(value, str)
        if len(key) <= LARGE_TEXT and not isinstance(value, dict | list):
            if not is_text or len(value) <= LARGE_TEXT:
                plain[key] = value
            if len(plain) == LARGE_KEYS:
                break
    return plain


class Status(NamedTuple):
    """What a device says about its connection: online, offline, or unknown (a cleared status)."""

    state: str
    session_id: str
    reason: str


def decode_status(raw: bytes, max_payload: int) -> Status:
    """The status in `raw`: `{"state", "session"?, "reason"?}` or the plain word."""
    if not raw:
        return Status("unknown", "", "The status was cleared.")
    body = parse(raw, max_payload)
    if type(body) is str:
        body = {"state": body.strip()}
    state, session = (body.get("state"), body.get("session", "")) if type(body) is dict else (0, 0)
    if state not in ("online", "offline"):
        raise Rejected(Reason.BAD_STATUS, "state must be “online” or “offline”.")
    if type(session) not in (str, int) or len(str(session)) > 128:
        raise Rejected(Reason.BAD_STATUS, "session must be a text of up to 128 characters.")
    return Status(state, str(session), str(body.get("reason") or "")[:255])


class Reply(NamedTuple):
    """What a device says about a command: one of REPLIES, with what came of it."""

    command_id: UUID
    status: str
    result: Any
    error: str


def decode_reply(raw: bytes, max_payload: int) -> Reply:
    """The reply in `raw`: `{"id", "status", "result"?, "error"?}`."""
    body = parse(raw, max_payload)
    if type(body) is not dict:
        raise Rejected(Reason.BAD_REPLY, "A reply is an object of JSON with id and status.")
    if (status := body.get("status")) not in REPLIES:
        raise Rejected(Reason.BAD_REPLY, f"status must be one of {', '.join(REPLIES)}.")
    command_id = _command_id(body.get("id"))
    return Reply(command_id, status, body.get("result"), _error_text(body.get("error")))


def _command_id(value: Any) -> UUID:
    try:
        if type(value) is str:
            return UUID(value)
    except ValueError:
        pass
    raise Rejected(Reason.BAD_REPLY, "id must be that of the command, a UUID as text.")


def _error_text(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    if value is None:
        return ""
    text = value if type(value) is str else orjson.dumps(value).decode()
    return text[:LONGEST_ERROR]
