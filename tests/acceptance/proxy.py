"""TCP proxies that stop a conversation at a chosen point, so that a test can do its worst there.

Threads and blocking sockets: a proxy lives inside a test that waits for processes, and a point that
was reached must hold its connection until the test says how it goes on.
"""

import contextlib
import enum
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from mqtt5 import DisconnectPacket, DisconnectReasonCode

WAIT_SECONDS = 30
CHUNK = 65536
# Requests that come without a type byte before the session begins.
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
COMMIT = b"COMMIT\0"
ENDINGS = (COMMIT, b"ROLLBACK\0")
IDLE = b"I"
SESSION_TAKEN_OVER = DisconnectReasonCode.SESSION_TAKEN_OVER
PUBLISH, PUBACK = 0x30, 0x40


def connect(upstream: Path | int) -> socket.socket:
    """A connection to the Unix socket `upstream`, or to that port of this machine."""
    if isinstance(upstream, int):
        connection = socket.create_connection(("127.0.0.1", upstream))
        hurry(connection)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(upstream))
    return connection


def hurry(connection: socket.socket) -> None:
    """What is written goes out at once; else each answer would be 40 ms late."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


def close(*sockets: socket.socket) -> None:
    """Closes for good: threads that wait in recv() of these sockets wake up."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (more := connection.recv(min(CHUNK, size - len(data)))):
            raise ConnectionError
        data += more
    return bytes(data)


class Proxy:
    """Accepts connections on `port` and passes bytes to and from `upstream`."""

    def __init__(self, upstream: Path | int) -> None:
        self.upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._live: set[tuple[socket.socket, socket.socket]] = set()
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close(self._listener)
        self.cut()

    def cut(self) -> None:
        """Closes every connection in both directions at once."""
        for pair in tuple(self._live):
            close(*pair)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Cuts every connection and lets none through while the block lasts."""
        self._refusing = True
        self.cut()
        yield
        self._refusing = False

    def wait_until_idle(self) -> None:
        """Returns once both sides of every connection have said all they had to say."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._live, WAIT_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                hurry(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._refusing:
                raise ConnectionError
            server = connect(self.upstream)
        except OSError:
            close(client)
            return
        pair = (client, server)
        self._live.add(pair)
        back = threading.Thread(target=self._run, args=(self.backward, server, client), daemon=True)
        back.start()
        self._run(self.forward, client, server)
        back.join()
        close(*pair)
        with self._changed:
            self._live.discard(pair)
            self._changed.notify_all()

    def _run(
        self,
        passing: Callable[[socket.socket, socket.socket], None],
        source: socket.socket,
        target: socket.socket,
    ) -> None:
        """Passes one direction until it ends; what was said before the end still arrives."""
        with contextlib.suppress(OSError):
            passing(source, target)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        """From the client to the server."""
        while data := client.recv(CHUNK):
            server.sendall(data)

    def backward(self, server: socket.socket, client: socket.socket) -> None:
        """From the server to the client."""
        while data := server.recv(CHUNK):
            client.sendall(data)


class Gate:
    """A shut gate: `reached` once somebody stands before it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def stand(self) -> None:
        self.reached.set()
        self._open.wait()


class MqttProxy(Proxy):
    """Before a broker; can keep a client's acknowledgements to itself, or what it says to clients.

    `delivered` counts what began with a message for a client: to one that is idle, each message.
    """

    def __init__(self, upstream: Path | int) -> None:
        super().__init__(upstream)
        self._open = threading.Event()
        self._open.set()
        self.withheld = threading.Event()
        self._gates: dict[int, Gate] = {}
        self.delivered = 0

    @contextlib.contextmanager
    def withholding(self, kind: int) -> Iterator[Gate]:
        """While the block lasts no client hears any more from the first packet of this kind on."""
        gate = self._gates[kind] = Gate()
        yield gate
        del self._gates[kind]
        gate.open()

    def withhold_acknowledgements(self) -> None:
        """From the next PUBACK on nothing of that connection reaches the broker any more."""
        self.withheld.clear()
        self._open.clear()

    def forget_acknowledgements(self) -> None:
        """What was withheld never arrives: its connections are cut."""
        self.cut()
        self._open.set()

    def say_taken_over(self) -> None:
        """What a broker says to a client whose id another one connected with, and its close."""
        for client, server in tuple(self._live):
            client.sendall(DisconnectPacket(reason_code=SESSION_TAKEN_OVER).write())
            close(server)

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(CHUNK):
            # The session writes all acknowledgements of a batch at once, so one begins the chunk.
            if data[0] == PUBACK and not self._open.is_set():
                self.withheld.set()
                self._open.wait(WAIT_SECONDS)
                return
            server.sendall(data)

    def backward(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(CHUNK):
            if gate := self._gates.get(data[0] & 0xF0):
                gate.stand()
            client.sendall(data)
            self.delivered += data[0] & 0xF0 == PUBLISH


class Point(enum.Enum):
    """Where a transaction can be stopped; the first exists only where it copied rows."""

    AFTER_COPY = "the rows were handed over, nothing else"
    BEFORE_COMMIT = "COMMIT was said but does not reach the server"
    COMMITTED = "the server committed, its answer is held back"


class Hold:
    """One connection that stands still at `point`, once, having copied `least` bytes or more.

    With a `statement`, instead, having executed one that begins like this.
    """

    def __init__(self, point: Point, least: int, statement: bytes) -> None:
        self.point = point
        self.least = least
        self.statement = statement
        self._reached = threading.Event()
        self._decided = threading.Event()
        self._cut = False

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def is_for(self, point: Point, copied: int, executed: list[bytes]) -> bool:
        """Whether a connection at `point`, with this in its open transaction, is to stand here."""
        if self.reached or self.point is not point:
            return False
        if self.statement:
            return any(each.startswith(self.statement) for each in executed)
        return self.least <= copied

    def wait(self) -> None:
        """Returns once a connection stands here."""
        assert self._reached.wait(WAIT_SECONDS), f"No transaction came to: {self.point.value}"

    def go_on(self) -> None:
        """The held message is passed on."""
        self._decided.set()

    def cut(self) -> None:
        """The held message is never passed on, and its connection ends."""
        self._cut = True
        self._decided.set()

    def stand(self) -> None:
        """Called by the proxy at the point; raises if the connection is to end here."""
        self._reached.set()
        self._decided.wait()
        if self._cut:
            raise ConnectionError


class PostgresProxy(Proxy):
    """Before PostgreSQL. Of its protocol it knows messages, queries, COPY and COMMIT."""

    def __init__(self, upstream: Path | int) -> None:
        super().__init__(upstream)
        self._holds: list[Hold] = []
        # Bytes that the open transaction of a connection has copied.
        self._copied: Counter[socket.socket] = Counter()
        # The statements of the open transaction of a connection.
        self._executed: defaultdict[socket.socket, list[bytes]] = defaultdict(list)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hold in self._holds:
            hold.cut()
        super().__exit__(kind, error, traceback)

    def hold(self, point: Point, least: int = 1, statement: str = "") -> Hold:
        """The next transaction with a COPY of `least` bytes in it will stand still at `point`.

        With a `statement`, the next one in which a statement begins like this one, up to the first
        of its parameters.
        """
        beginning = statement.strip().partition("%")[0].encode()
        self._holds.append(Hold(point, least, beginning))
        return self._holds[-1]

    def _stand(self, server: socket.socket, point: Point) -> None:
        """Takes part in a hold at `point`, if one is open there for as much as was copied."""
        for hold in self._holds:
            if hold.is_for(point, self._copied[server], self._executed[server]):
                hold.stand()
                return

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        if self._begin(client, server):
            for kind, message in messages(client):
                if says_commit(kind, message):
                    self._stand(server, Point.BEFORE_COMMIT)
                server.sendall(message)
                if kind in (b"Q", b"P"):
                    self._executed[server].append(query_of(kind, message))
                if kind == b"d":
                    self._copied[server] += len(message)
                elif kind == b"c":
                    self._stand(server, Point.AFTER_COPY)

    def backward(self, server: socket.socket, client: socket.socket) -> None:
        for kind, message in messages(server):
            if kind == b"C" and message[5:] in ENDINGS:
                if message[5:] == COMMIT:
                    self._stand(server, Point.COMMITTED)
                self._copied[server] = 0
            elif kind == b"Z" and message[5:] == IDLE:
                self._executed[server].clear()
            client.sendall(message)

    def _begin(self, client: socket.socket, server: socket.socket) -> bool:
        """Passes what comes before the first typed message; False if none will follow."""
        while True:
            head = read_exactly(client, 8)
            size, code = struct.unpack("!II", head)
            if code not in (SSL_REQUEST, GSS_REQUEST):
                server.sendall(head + read_exactly(client, size - 8))
                return bool(code != CANCEL_REQUEST)
            # No encryption here; the answer to both is a single letter.
            client.sendall(b"N")


def messages(source: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """(type, whole message) until the source ends."""
    with source.makefile("rb") as stream:
        while head := stream.read(5):
            yield head[:1], head + stream.read(struct.unpack("!I", head[1:])[0] - 4)


def says_commit(kind: bytes, message: bytes) -> bool:
    """Whether this is COMMIT, by the simple or by the extended protocol."""
    return kind in (b"Q", b"P") and query_of(kind, message).strip(b" ;").upper() == b"COMMIT"


def query_of(kind: bytes, message: bytes) -> bytes:
    """The text of a simple query, or of a statement to be prepared, which has a name before it."""
    return message[5:].split(b"\0")[kind == b"P"].strip()
