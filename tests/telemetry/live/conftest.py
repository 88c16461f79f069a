"""A web server with threads, and clients that read its streams."""

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from telemetry import partitions
from telemetry.live import stream as streams
from tests import cast as people
from tests.emptying import empty_tables
from tests.streams import PATIENCE, end_streams, streams_end


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


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """The cast, committed, and at `at` a server; the same for all tests of a file, since it takes a
    second to empty all tables. What a test changes is its own."""
    with django_db_blocker.unblock(), streams_end():
        cast = people.cast()
        partitions.make_ahead(timezone.now())
        server = LiveServer("localhost")
        cast.at = server.url
        yield cast
        end_streams()
        server.stop()
        empty_tables()
    connection.close()


@pytest.fixture
def live(world: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """With a `device` of the test's own."""
    world.device = people.device(f"dev-{uuid.uuid4().hex[:8]}", world.t0)
    world.path = f"/live/telemetry?devices={world.device}"
    yield world
    end_streams()


@pytest.fixture
def reader(live: SimpleNamespace) -> Iterator[Reader]:
    """A viewer who follows the device, at the beginning."""
    with Reader(live.at, live.path, live.viewer) as reader:
        assert reader.next("ready").data == {}
        yield reader


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
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'iotplatform-live@%'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def other_connection() -> psycopg.Connection[Any]:
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "dbname")}
    return psycopg.connect(**wanted, autocommit=True)
