"""What many tests share."""

import atexit
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from devices.credentials.uses import uses
from telemetry.live import hub as hubs
from tests import cast as people

# Its thread would write in the middle of some other test, and at the end the database is gone.
uses._every = threading.TIMEOUT_MAX
atexit.unregister(uses.end)


@pytest.fixture
def no_streams_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """When the test ends, no live stream goes on, nor the connection that listens for them."""
    monkeypatch.setattr(hubs, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(hubs, "QUIET_SECONDS", 0.2)
    yield
    for stream in list(hubs.hub._streams):
        stream.cut()
        hubs.hub.leave(stream)
    monkeypatch.setattr(hubs, "RING_SECONDS", -1.0)
    if thread := hubs.hub._thread:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
