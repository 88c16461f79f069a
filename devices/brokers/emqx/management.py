"""EMQX's management API: puts clients off the broker, and lists who is there."""

import asyncio
import http.client
import json
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from django.conf import settings

from devices.brokers.changes import Change, Told

# EMQX itself waits 5 s for a client that does not react, and ends it by force then.
TIMEOUT_SECONDS = 10.0
AT_A_TIME = 8
# With one more question, less than a lease, after which somebody else tells the same changes.
ROUND_SECONDS = 20.0
AGAIN_SECONDS = 5.0
PAGE = 1000

AWAY = (
    "EMQX cannot be reached ({why}). Is it running, and the listener of its dashboard, which has "
    "the API, at EMQX__API_URL?"
)
SILENT = (
    "EMQX gave no answer to {method} {path} ({why}). Is it overloaded, and is EMQX__API_URL right?"
)
NOT_KNOWN = (
    "EMQX does not accept our key ({status}). EMQX__API_KEY and EMQX__API_SECRET have to be a line "
    "of its api_key.bootstrap_file; it reads that when it starts."
)
NOT_DONE = "EMQX said {status} {reason} to {method} {path}; its log says more."
UNREADABLE = "What EMQX said to {method} {path} is not what its API says. Is EMQX__API_URL right?"
LATER = "EMQX answers too slowly to be told everything at once; the rest follows."


class EmqxError(Exception):
    """EMQX did not do what it was asked. Says why, and what people can do about it.

    With `is_for_all` it would not do anything else either.
    """

    def __init__(self, said: str, *, is_for_all: bool = False) -> None:
        super().__init__(said)
        self.is_for_all = is_for_all


class Client(NamedTuple):
    """Somebody who has a session at the broker, connected or not."""

    client_id: str
    username: str


# It is our neighbour, whatever proxy leads to the world.
_direct = build_opener(ProxyHandler({}))

# Device → version of the change for which this process has put it off once. What is left over
# here, or was lost, costs one time too many.
_once: dict[str, int] = {}


async def tell(changes: Sequence[Change]) -> list[Told]:
    """Put every device off, whose next connection is then decided anew; twice, some seconds apart.

    The first time may come between a decision that was right just before the change and the
    connection that it leads to.
    """
    places = asyncio.Semaphore(AT_A_TIME)
    until = time.monotonic() + ROUND_SECONDS
    trouble: list[str] = []

    async def told(change: Change) -> Told:
        async with places:
            if time.monotonic() > until:
                trouble.append(LATER)
            if trouble:
                return Told(change, trouble[0])
            try:
                await asyncio.to_thread(kick, change.uid)
            except EmqxError as error:
                trouble.extend([str(error)] * error.is_for_all)
                return Told(change, str(error))
        return _done(change)

    return await asyncio.gather(*map(told, changes))


def _done(change: Change) -> Told:
    if _once.get(change.uid) == change.version:
        del _once[change.uid]
        return Told(change)
    _once[change.uid] = change.version
    return Told(change, again=AGAIN_SECONDS)


def kick(client_id: str) -> None:
    """End the client's session, if there is one, with all that waits in it."""
    _ask("DELETE", f"/clients/{quote(client_id, safe='')}", done=(204, 404))


def live_clients() -> Iterator[Client]:
    """Everybody who has a session, page by page; who comes or goes meanwhile may be missing."""
    page = 1
    while True:
        path = f"/clients?limit={PAGE}&page={page}&fields=clientid,username"
        found = _listed("GET", path, _ask("GET", path, done=(200,)))
        yield from (Client(each["clientid"], each.get("username") or "") for each in found["data"])
        if not found["meta"].get("hasnext"):
            return
        page += 1


def _listed(method: str, path: str, data: bytes) -> Any:
    try:
        found = json.loads(data)
        if isinstance(found["meta"], dict) and all(each["clientid"] for each in found["data"]):
            return found
    except (ValueError, TypeError, KeyError):
        pass
    raise EmqxError(UNREADABLE.format(method=method, path=path), is_for_all=True)


def _ask(method: str, path: str, done: Sequence[int]) -> bytes:
    """The body of the answer, whose status is one of `done`.

    Blocks for TIMEOUT_SECONDS until EMQX is reached, and as long until it answers.
    """
    status, reason, data = _answer(method, path)
    if status in done:
        return data
    if status in (401, 403):
        raise EmqxError(NOT_KNOWN.format(status=status), is_for_all=True)
    raise EmqxError(NOT_DONE.format(status=status, reason=reason, method=method, path=path))


def _request(method: str, path: str) -> Request:
    key = b64encode(f"{settings.EMQX_API_KEY}:{settings.EMQX_API_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {key}", "Accept": "application/json"}
    url = f"{settings.EMQX_API_URL.rstrip('/')}{path}"
    return Request(url, headers=headers, method=method)


def _answer(method: str, path: str) -> tuple[int, str, bytes]:
    try:
        with _direct.open(_request(method, path), timeout=TIMEOUT_SECONDS) as response:
            return response.status, response.reason, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.reason, b""
    except (URLError, http.client.InvalidURL, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise EmqxError(AWAY.format(why=why), is_for_all=True) from error
    except (OSError, http.client.HTTPException) as error:
        # It was reached, and may have an answer about somebody else.
        why = str(error) or type(error).__name__
        raise EmqxError(SILENT.format(method=method, path=path, why=why)) from error
