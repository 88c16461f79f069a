"""Sends a notice to a webhook, as https://www.standardwebhooks.com describes it."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import orjson
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.alerts.addresses import Place, look_up, place_of

SECONDS = 10.0
"""For all of it but the look-up of the host."""
MOST_ADDRESSES = 4
MOST_READ = 16 * 1024
SECRET_BYTES = 32
PREFIX = "whsec_"

NO_ANSWER = sentence(_("No answer within {seconds} seconds."))
NOT_REACHED = sentence(_("It cannot be reached: {error}"))
NOT_HTTP = sentence(_("What answers there does not speak HTTP."))
REDIRECTED = sentence(
    _("It answered {status}: redirects are not followed. Use the address itself.")
)
ANSWERED = sentence(_("It answered {status}."))


class NotDelivered(Exception):
    """It was not taken; why is said for people. `is_final`: nor will it ever be."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


def new_secret() -> str:
    """256 random bits that sign."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature_of(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def post(url: str, message_id: str, message: dict[str, Any], keys: Iterable[str]) -> None:
    """Send `message`, signed by each of `keys`. Raises NotDelivered, or Refused before that.

    It goes to an address that was checked, whatever name servers say later.
    """
    place, body = place_of(url), orjson.dumps(message)
    timestamp = int(time.time())
    signatures = [signature_of(key, message_id, timestamp, body) for key in keys]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "iotplatform",
        "Connection": "close",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
    status = _exchange(place, look_up(place)[:MOST_ADDRESSES], body, headers)
    if 300 <= status < 400:
        raise NotDelivered(REDIRECTED.format(status=status))
    if not 200 <= status < 300:
        # Gone is what a receiver answers that wants no more of them.
        raise NotDelivered(ANSWERED.format(status=status), is_final=status == 410)


def _exchange(place: Place, addresses: list[str], body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer, which is all of it that anybody is shown."""
    deadline = time.monotonic() + SECONDS
    try:
        raw = _connect(addresses, place.port, deadline)
        # However slowly the other end speaks, a word at a time.
        last_resort = raw.dup()
        cut = threading.Timer(deadline - time.monotonic(), _cut, [last_resort])
        cut.start()
        try:
            return _ask(place, raw, body, headers)
        finally:
            cut.cancel()
            last_resort.close()
    except TimeoutError as error:
        raise NotDelivered(NO_ANSWER.format(seconds=int(SECONDS))) from error
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise NotDelivered(NO_ANSWER.format(seconds=int(SECONDS))) from error
        if isinstance(error, http.client.HTTPException):
            # Its text has what the other end said, which may be anything that answers there.
            raise NotDelivered(NOT_HTTP) from error
        raise NotDelivered(NOT_REACHED.format(error=_brief(error))) from error


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first of the addresses that answers."""
    for number, address in enumerate(addresses, 1):
        left = max(0.1, deadline - time.monotonic())
        try:
            # Those that come after it shall have their share of the time.
            return socket.create_connection((address, port), left / (len(addresses) - number + 1))
        except OSError:
            if number == len(addresses):
                raise
    raise ConnectionError("The host has no address.")


def _ask(place: Place, raw: socket.socket, body: bytes, headers: dict[str, str]) -> int:
    raw.settimeout(SECONDS)
    connection: http.client.HTTPConnection
    if place.is_secure:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(place.host, place.port, context=context)
        connection.sock = context.wrap_socket(raw, server_hostname=place.host)
    else:
        connection = http.client.HTTPConnection(place.host, place.port)
        connection.sock = raw
    try:
        connection.request("POST", place.path, body, headers)
        answer = connection.getresponse()
        # The other end may be busy with its answer; what that says is for nobody.
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer.read(MOST_READ)
        return answer.status
    finally:
        connection.close()


def _cut(last_resort: socket.socket) -> None:
    # It may have ended by itself just now.
    with contextlib.suppress(OSError):
        last_resort.shutdown(socket.SHUT_RDWR)


def _brief(error: Exception) -> str:
    return (getattr(error, "verify_message", "") or str(error) or type(error).__name__)[:200]
