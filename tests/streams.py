"""Live streams of this process, and their end."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telemetry.live import hub as hubs
from telemetry.live.hub import hub

PATIENCE = 10


def end_streams() -> None:
    """As if all clients had gone, and their servers had noticed."""
    for stream in list(hub._streams):
        stream.cut()
        hub.leave(stream)


@contextmanager
def streams_end() -> Iterator[None]:
    """After the block no stream goes on, nor the connection that listens for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hubs, "PAUSE_SECONDS", 0.05)
        patch.setattr(hubs, "QUIET_SECONDS", 0.1)
        yield
        end_streams()
        patch.setattr(hubs, "RING_SECONDS", -1.0)
        if thread := hub._thread:
            thread.join(PATIENCE)
            assert not thread.is_alive()
