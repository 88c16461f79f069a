"""What a process tells of itself by HTTP, and when it asks to be started anew."""

import asyncio
import http.client
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from devices.commands.dispatcher import Dispatcher
from devices.daemon import listener as listening_module
from devices.daemon.listener import CannotListen, listening
from devices.daemon.writer import Writer
from telemetry.ingestor import Ingestor
from tests.servers import free_port


def asked(port, path="/healthz", method="GET"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request(method, path)
    answer = client.getresponse()
    return answer.status, answer.read().decode()


def of_process(*requests, before=lambda listener: None):
    """The answers to requests, while a process listens."""

    async def main():
        port = free_port()
        with listening(port) as listener:
            before(listener)
            asking = [asyncio.to_thread(asked, port, *each) for each in requests]
            return await asyncio.gather(*asking)

    return asyncio.run(main())


def test_trouble_is_told_to_who_starts_it_anew():
    def stuck(listener):
        listener.trouble = lambda: "Nothing goes on."

    assert of_process(("/healthz",)) == [(200, '{"status": "ok"}')]
    found = of_process(("/healthz?x=1",), ("/healthz", "HEAD"), before=stuck)
    assert found == [(503, '{"status": "Nothing goes on."}'), (503, "")]


def test_nothing_else_is_there(settings):
    settings.METRICS_TOKEN = ""
    found = of_process(("/metrics",), ("/",), ("/healthz", "POST"))
    assert [status for status, _ in found] == [404, 404, 501]


def test_an_event_loop_that_does_not_turn_is_told(monkeypatch):
    monkeypatch.setattr(listening_module, "TURN_SECONDS", 0.1)
    told = threading.Event()

    async def main():
        port = free_port()
        with listening(port):
            found = []
            asking = threading.Thread(target=lambda: (found.append(asked(port)), told.set()))
            asking.start()
            # Meanwhile the loop stands still.
            assert told.wait(5)
            return found

    ((status, body),) = asyncio.run(main())
    assert status == 503
    assert "does not turn" in body


def test_a_port_that_is_taken_is_named_and_zero_is_none():
    async def listen(port):
        with listening(port):
            return True

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port}: .* of its own"):
            asyncio.run(listen(port))
    assert asyncio.run(listen(0))


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close()


@pytest.fixture
def ingestor(writer):
    session = SimpleNamespace(oldest_unacknowledged=None)
    ingestor = Ingestor(session, [writer], "test")
    ingestor._stored_at = time.monotonic() - 90
    return ingestor


def test_an_ingestor_is_in_trouble_if_messages_wait_and_nothing_is_stored(ingestor, writer):
    # Nothing came, however long ago something was stored; as without a broker.
    assert ingestor.trouble() == ""
    ingestor.session.oldest_unacknowledged = time.time() - 70
    assert "waiting for 70 s" in ingestor.trouble()
    ingestor.session.oldest_unacknowledged = time.time() - 50
    assert ingestor.trouble() == ""


def test_a_database_that_is_away_is_no_trouble_of_an_ingestors(ingestor, writer):
    ingestor.session.oldest_unacknowledged = time.time() - 3_600
    assert ingestor.trouble()
    writer.failed_at = time.monotonic() - 40
    assert ingestor.trouble() == ""
    writer.failed_at = time.monotonic() - 70
    assert ingestor.trouble()


def test_a_dispatcher_is_in_trouble_if_it_looks_for_nothing(writer):
    dispatcher = Dispatcher(SimpleNamespace(), writer, "test", with_properties=True)
    assert dispatcher.trouble() == ""
    dispatcher._turned_at -= 70
    assert "in 70 s" in dispatcher.trouble()
    writer.failed_at = time.monotonic()
    assert dispatcher.trouble() == ""
