"""The door for devices that speak HTTP: who comes, with what, and what became of it.

The counterpart of `telemetry/ingestor.py`: one message a request, answered after its commit.
"""

import base64
import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http.request import UnreadablePostError
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    ParseError,
)
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.faults import TooLarge
from devices.credentials.authenticating import Account, authenticate
from devices.credentials.uses import note
from devices.daemon.faults import Fault, fault_of
from devices.mqtt import topics
from telemetry import metrics
from telemetry.counts import Tally
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import KEPT_PAYLOADS, keep_rejected, reasons_of, store
from telemetry.reasons import Rejected

logger = logging.getLogger(__name__)

CHALLENGE = 'Bearer realm="device", Basic realm="device"'
NO_TOKEN = (
    "Send the device's token, “Authorization: Bearer …”, or uid and token by HTTP Basic. A "
    "person's token is for reading."
)
WRONG_TOKEN = (
    "This is no token for this device, or none any more. Send one of its own; or that of a gateway "
    "for it, by HTTP Basic with the gateway's uid. A person's token is for reading."
)

# What `Writer` asks of a connection of its own, here for one transaction: a lock that somebody
# keeps must not keep all threads of the web server, and an answer means that it is on disk.
TERMS = """
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '15s';
SET LOCAL synchronous_commit = 'on'
"""


class DeviceAuthentication(BaseAuthentication):
    """Takes the token of the device in the address, or of a gateway that speaks for it."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Account]:
        uid = request.parser_context["kwargs"]["device_uid"]
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            raise NotAuthenticated(NO_TOKEN)
        with waited_for():
            account = authenticate(*name_and_token(header, uid), speaking_for=uid)
        if not account or uid not in [own for _, own in account.names]:
            raise AuthenticationFailed(WRONG_TOKEN, "token_not_valid")
        if account.credential_id:
            note(account.credential_id)
        return AnonymousUser(), account

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def name_and_token(header: str, uid: str) -> tuple[str, str]:
    """What the header `Authorization` has; with Bearer the user name is `uid`."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return uid, rest.strip()
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, token = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return name, token


class FromDevice(BasePermission):
    """Lets nobody through who is not there by the token of a device."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, Account)


class LengthRequired(APIException):
    status_code = 411
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class Encoded(APIException):
    status_code = 415
    default_code = "unsupported_media_type"
    default_detail = "Send the body as it is, without Content-Encoding; many readings in one array."


class Refused(APIException):
    """The message can never be stored, and is kept for a person: to send it again is of no use."""

    status_code = 422

    def __init__(self, rejected: Rejected) -> None:
        said = f"{rejected.reason.label} {rejected.detail}".strip()
        super().__init__(said, rejected.reason.value)
        self.more = Tally(rejected=rejected.readings)._asdict()


class NotNow(APIException):
    """Whether the message is stored, the platform cannot say; most likely it is not."""

    status_code = 503
    default_code = "unavailable"
    default_detail = "The database cannot now. Send the same again in a moment."
    wait = 5


@contextmanager
def waited_for() -> Iterator[None]:
    """The block's work with the database; NotNow if it has to be waited for."""
    try:
        yield
    except Exception as error:
        if fault_of(error) not in (Fault.WAIT, Fault.SLOW):
            raise
        logger.warning("The database cannot now, and a device has to come again: %s", error)
        raise NotNow from error


def body_of(request: Request) -> bytes:
    """The bytes of the body, whatever they are; refused if too many, or if not all of them came."""
    if request.headers.get("Content-Encoding", "").lower() not in ("", "identity"):
        raise Encoded
    told = request.META.get("CONTENT_LENGTH", "")
    if not told.isdecimal():
        raise LengthRequired
    length, largest = int(told), KEPT_PAYLOADS * settings.MAX_PAYLOAD
    if length > largest:
        raise TooLarge(largest)
    body = read(request, length)
    # A message that was cut off may well be another one.
    if len(body) < length:
        raise ParseError(f"Only {len(body):,} of {length:,} bytes came. Send it again.")
    return body


def read(request: Request, length: int) -> bytes:
    """Up to `length` bytes; fewer if the client has gone."""
    try:
        return bytes(request.stream.read(length)) if length else b""
    except UnreadablePostError:
        return b""


def take(account: Account, uid: str, body: bytes) -> Tally:
    """Store what `account` says for `uid`; once this returns, it is stored or was known before.

    Raises Refused, or NotNow if it has to come again.
    """
    tenant = next(tenant for tenant, own in account.names if own == uid)
    topic = topics.build(tenant, uid, "telemetry")
    number = random.getrandbits(63)
    message = decode_message(topic, body, time.time_ns() // 1_000, number)
    kept: list[Incoming] = []

    def keep(rejected: Sequence[Incoming]) -> None:
        kept[:] = rejected
        keep_rejected(rejected)

    with waited_for():
        tally = store([message], keep, begin=agree)
    metrics.count(tally, reasons_of(kept))
    if kept and (rejected := kept[0].rejected):
        raise Refused(rejected)
    return tally


def agree() -> None:
    """Have the transaction at hand keep to TERMS."""
    with connection.cursor() as cursor:
        cursor.execute(TERMS)
