"""Tells others by HTTP how a process is: /healthz for who restarts it, /metrics for Prometheus.

The words go to and fro in threads; what is said comes from the event loop, so an answer proves that
it turns, and nothing is read while it changes.
"""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple

from django.conf import settings
from prometheus_client import CollectorRegistry, Metric, ProcessCollector

from devices.daemon.exposition import CHALLENGE, Asked, admission, exposition

logger = logging.getLogger(__name__)

TURN_SECONDS = 5.0
STANDS_STILL = f"The event loop does not turn: no answer of it within {TURN_SECONDS:.0f} s."
LOOK_SECONDS = 0.1
PLAIN = "text/plain; charset=utf-8"


class CannotListen(Exception):
    """Nobody can be told at METRICS_BIND and METRICS_PORT; the message says what to do."""


class Answer(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN


class Listener:
    """What there is to tell of a process; made in its event loop.

    `trouble` says why the process has to be started anew, or nothing.
    """

    def __init__(self) -> None:
        self.trouble: Callable[[], str] = lambda: ""
        self._loop = asyncio.get_running_loop()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def tell(self, ask: Callable[[], Iterable[Metric]]) -> None:
        """Have /metrics tell also what `ask` answers, in the event loop, at once."""
        self._registry.register(Asked(ask))

    def answer(self, path: str, authorization: str, accept: str) -> Answer:
        """What to say to a request; called in another thread."""
        saying = asyncio.run_coroutine_threadsafe(
            self._answer(path.partition("?")[0], authorization, accept), self._loop
        )
        try:
            return saying.result(TURN_SECONDS)
        except TookTooLong:
            return health(STANDS_STILL)

    async def _answer(self, path: str, authorization: str, accept: str) -> Answer:
        if path == "/healthz":
            return health(self.trouble())
        status = admission(authorization) if path == "/metrics" else HTTPStatus.NOT_FOUND
        if status is not HTTPStatus.OK:
            return Answer(status, f"{status.phrase}.\n".encode())
        return Answer(status, *exposition(self._registry, accept))


def health(trouble: str) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
    said = {"status": trouble or "ok"}
    return Answer(status, json.dumps(said).encode(), "application/json")


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    """While the block lasts, others may ask at METRICS_BIND and `port`, where that is none but 0.

    Raises CannotListen.
    """
    listener = Listener()
    if not port:
        yield listener
        return
    server = _server(listener, settings.METRICS_BIND, port)
    thread = threading.Thread(target=server.serve_forever, args=[LOOK_SECONDS], daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()


def _server(listener: Listener, host: str, port: int) -> "Server":
    try:
        return Server(listener, host, port)
    except (OSError, OverflowError) as error:
        raise CannotListen(
            f"Cannot listen on {host}, port {port}: {error}. METRICS_BIND has to be an address of "
            "this machine, and each process there needs a METRICS_PORT of its own; 0 is for none."
        ) from error


class Server(ThreadingHTTPServer):
    """Passes on to `listener` what it is asked."""

    def __init__(self, listener: Listener, host: str, port: int) -> None:
        self.listener = listener
        self.address_family = AF_INET6 if ":" in host else AF_INET
        super().__init__((host, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.warning("A question about this process was not answered: %r", sys.exception())


class Handler(BaseHTTPRequestHandler):
    """One request, of a client that may take ten seconds to say it."""

    server: Server
    timeout = 10
    server_version = "iotplatform"
    sys_version = ""

    def do_GET(self) -> None:
        said = (self.headers.get(name, "") for name in ("Authorization", "Accept"))
        answer = self.server.listener.answer(self.path, *said)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", CHALLENGE)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: somebody asks every few seconds."""
