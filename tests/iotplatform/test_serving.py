"""How gunicorn's workers count on where those before them left off, and read what nobody wanted."""

import contextlib
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from prometheus_client import CollectorRegistry, Counter, Gauge, values
from prometheus_client.multiprocess import MultiProcessCollector

from iotplatform import serving


def test_the_address_of_a_server_may_be_of_either_kind():
    assert serving.address("127.0.0.1", 8000) == "127.0.0.1:8000"
    assert serving.address("::1", 8000) == "[::1]:8000"


def test_a_new_worker_has_the_lowest_number_that_is_free():
    server = SimpleNamespace(WORKERS={})

    def started(pid):
        worker = server.WORKERS[pid] = SimpleNamespace()
        # Before it is one of them.
        del server.WORKERS[pid]
        serving.pre_fork(server, worker)
        server.WORKERS[pid] = worker
        return worker.number

    assert [started(pid) for pid in (10, 11, 12)] == [0, 1, 2]
    del server.WORKERS[11]
    assert [started(13), started(14)] == [1, 3]


def test_however_many_workers_end_there_are_no_more_files(monkeypatch):
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    serving.on_starting(SimpleNamespace())
    place = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    for _ in range(3):
        worker = SimpleNamespace(number=0)
        serving.post_fork(SimpleNamespace(), worker)
        Counter("done", "…", registry=None).inc()
        Gauge("open", "…", registry=None, multiprocess_mode="livesum").set(5)
        serving.child_exit(SimpleNamespace(), worker)
    assert os.listdir(place) == ["counter_0.db"]
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    assert registry.get_sample_value("done_total") == 3
    assert registry.get_sample_value("open") is None
    serving.on_exit(SimpleNamespace())
    assert not os.path.exists(place)


@pytest.fixture
def client():
    """A client's socket, with a `parser` at its other end as a worker has it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parser = get_parser(Config(), theirs, ("127.0.0.1", 1))
        yield SimpleNamespace(send=ours.sendall, parser=parser, theirs=theirs)


def begun(client, size):
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    return next(client.parser)


def test_what_nobody_read_of_a_body_is_taken_in_before_the_next_request(client):
    request = begun(client, 6)
    client.send(b"unreadGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    serving.post_request(None, request, None, None)
    assert next(client.parser).path == "/next"


def test_whoever_sends_a_little_now_and_then_holds_no_thread(client, monkeypatch):
    monkeypatch.setattr(serving, "LEFT_SECONDS", 0.1)
    request = begun(client, 50_000_000)
    ended = threading.Event()

    def trickle():
        # Until it is not listened to.
        with contextlib.suppress(OSError):
            while not ended.wait(0.02):
                client.send(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    began = time.monotonic()
    serving.post_request(None, request, None, None)
    taken = time.monotonic() - began
    ended.set()
    sender.join()
    assert taken < 2
    assert not client.parser.finish_body()
    # Nor does the worker wait for it when it closes.
    client.theirs.settimeout(0.1)
    while client.theirs.recv(1024):
        pass


def test_nobody_is_listened_to_without_end(client, monkeypatch):
    monkeypatch.setattr(serving, "LEFT_BYTES", 1000)
    request = begun(client, 50_000_000)
    client.send(b"x" * 1000)
    serving.post_request(None, request, None, None)
    assert not client.parser.finish_body()
