"""Requests as fast as a web server answers them, on a few connections that stay open.

As cheap as Python allows, in a process of its own: it shares the machine with what it measures.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from typing import NamedTuple

WARM_UP_SECONDS = 1.0
PATIENCE_SECONDS = 60

HEADER_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
CHUNKED = b"\r\ntransfer-encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"


class Request(NamedTuple):
    """What is sent, and how long the body of the right answer is, in bytes."""

    data: bytes
    length: int


class Load(NamedTuple):
    """Requests a second; seconds from sending one to the end of its answer; how many were answered
    in all, before the measured time and after it too."""

    rate: float
    median: float
    p99: float
    answered: int


def get(path: str, token: str, length: int) -> Request:
    lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", "", "")
    return Request("\r\n".join(lines).encode(), length)


def post(path: str, token: str, body: bytes, length: int) -> Request:
    lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}")
    lines += ("Content-Type: application/json", f"Content-Length: {len(body)}", "", "")
    return Request("\r\n".join(lines).encode() + body, length)


def measure(port: int, requests: Sequence[Request], connections: int, seconds: float) -> Load:
    """Sends `requests` in turn; raises unless every answer is a 200 or 201 of its length."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(run, port, requests, connections, seconds).result()


def run(port: int, requests: Sequence[Request], connections: int, seconds: float) -> Load:
    return asyncio.run(_run(port, cycle(requests), connections, seconds))


async def _run(port: int, requests: Iterator[Request], connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    start = loop.time() + WARM_UP_SECONDS
    clients = [Client(requests, start, start + seconds) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    patience = WARM_UP_SECONDS + seconds + PATIENCE_SECONDS
    await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), patience)
    taken = [each for client in clients for each in client.taken]
    percentiles = statistics.quantiles(taken, n=100, method="inclusive")
    answered = sum(client.answered for client in clients)
    return Load(len(taken) / seconds, statistics.median(taken), percentiles[98], answered)


class Client(asyncio.Protocol):
    """One connection: the next request follows the answer to the last one, until `end`.

    Counted is what is answered between `start` and `end`, by the clock of the loop.
    """

    def __init__(self, requests: Iterator[Request], start: float, end: float) -> None:
        self.taken: list[float] = []
        self.answered = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._start = start
        self._end = end
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._request: Request
        self._sent: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._request = next(self._requests)
        self._sent = time.monotonic()
        self._transport.write(self._request.data)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            length = body_length(self._received)
            if length is None:
                return
            if length != self._request.length:
                raise ValueError(f"{length} bytes instead of {self._request.length}")
        except ValueError as error:
            self._fail(f"{error}: {bytes(self._received[:500])!r}")
            return
        self._received.clear()
        self._count()

    def _count(self) -> None:
        now = time.monotonic()
        self.answered += 1
        if now >= self._end:
            self.done.set_result(None)
            self._transport.close()
            return
        if now >= self._start:
            self.taken.append(now - self._sent)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"The server closed the connection ({error}).")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


def body_length(answer: bytearray) -> int | None:
    """Bytes in the body of `answer`, or None while it is incomplete. ValueError if it failed."""
    end = answer.find(HEADER_END)
    if end < 0:
        return None
    if not answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")):
        raise ValueError("Neither 200 nor 201")
    body = end + len(HEADER_END)
    head = bytes(answer[: end + 2]).lower()
    if (at := head.find(LENGTH)) >= 0:
        value = at + len(LENGTH)
        length = int(head[value : head.index(b"\r\n", value)])
        return length if len(answer) >= body + length else None
    if CHUNKED not in head:
        raise ValueError("A body without a length")
    return chunked_length(answer, body) if answer.endswith(LAST_CHUNK) else None


def chunked_length(answer: bytearray, at: int) -> int | None:
    """The sum of the chunks from `at` on, or None if the last one is not there yet."""
    total = 0
    while (line_end := answer.find(b"\r\n", at)) >= 0:
        size = int(answer[at:line_end].split(b";")[0], 16)
        if size == 0:
            return total
        total += size
        at = line_end + 2 + size + 2
    return None
