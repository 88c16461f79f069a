"""A web server with threads, and clients that read its streams."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from telemetry.live import stream as streams

PATIENCE = 10


class Got(NamedTuple):
    name: str
    data: Any
    id: str


class Reader:
    """A client of `path`, for `user` by a token or with `headers`; reads events on demand."""

    def __init__(self, url: str, path: str, user: User | None = None, **headers: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
        if user:
            headers["Authorization"] = f"Bearer {AccessToken.for_user(user)}"
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.place = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()

    def blocks(self) -> Iterator[dict[str, str]]:
        """What lies between blank lines: field → value; the name of a comment is empty."""
        block: dict[str, str] = {}
        for line in self.answer:
            name, separator, value = line.decode().rstrip("\n").partition(":")
            if separator:
                block[name] = value.removeprefix(" ")
            elif block:
                yield block
                block = {}

    def events(self) -> Iterator[Got]:
        for block in self.blocks():
            self.place = block.get("id", self.place)
            if "data" in block:
                yield Got(block["event"], json.loads(block["data"]), self.place)

    def next(self, name: str = "") -> Got:
        """The next event, which has to be a `name`."""
        got = next(self.events())
        assert not name or got.name == name, got
        return got

    def rest(self) -> list[str]:
        """The names of all events until the server ends the stream."""
        return [got.name for got in self.events()]


@pytest.fixture
def at(transactional_db: None, live_server: Any, no_streams_left: None) -> str:
    """The address of the server."""
    return str(live_server.url)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look at their rights all the time."""
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.05)


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def listeners() -> int:
    """How many connections to the database listen for streams."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'iotplatform-live@%'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def other_connection() -> psycopg.Connection[Any]:
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "dbname")}
    return psycopg.connect(**wanted, autocommit=True)
