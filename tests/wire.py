"""MQTT by hand: a client that asks for anything, sends before it is answered, and vanishes at will.

Of both versions only what the tests of access need; everything is synchronous.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

V311, V5 = 4, 5
CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 8, 9, 12, 13
REFUSED = 0x80
SECONDS = 10


class Will(NamedTuple):
    """What the broker is to publish when the client vanishes; with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class Gone(Exception):
    """The broker closed the connection."""


class Wire:
    """A connection to `port` of this machine; the version is V311 or V5."""

    def __init__(self, port: int, version: int = V311) -> None:
        self.version = version
        self.received: list[tuple[str, bytes]] = []
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._packet_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Close the connection without taking leave."""
        self._socket.close()

    def connect(
        self,
        client_id: str,
        username: str | None = None,
        password: str | None = None,
        *,
        clean: bool = True,
        will: Will | None = None,
    ) -> int:
        """The reason code of the CONNACK: 0 if the client was let in."""
        self.ask_to_connect(client_id, username, password, clean=clean, will=will)
        return self._wait_for(CONNACK)[1]

    def ask_to_connect(
        self,
        client_id: str,
        username: str | None = None,
        password: str | None = None,
        *,
        clean: bool = True,
        will: Will | None = None,
    ) -> None:
        """As `connect`, without waiting for the answer."""
        flags = clean << 1 | (username is not None) << 7 | (password is not None) << 6
        body = text(client_id)
        if will:
            flags |= 1 << 2 | 1 << 3 | will.retain << 5
            body += self._properties() + text(will.topic)
            body += struct.pack("!H", len(will.payload)) + will.payload
        for part in (username, password):
            body += b"" if part is None else text(part)
        kept = b"" if self.version == V311 else b"\x05\x11" + struct.pack("!I", 0 if clean else 600)
        head = text("MQTT") + bytes([self.version, flags]) + struct.pack("!H", 60) + kept
        self._send(CONNECT << 4, head + body)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """The reason code of the PUBACK, 0 from MQTT 3.1.1; none if the broker hung up instead."""
        self.ask_to_publish(topic, payload, retain=retain)
        try:
            answer = self._wait_for(PUBACK)
        except Gone:
            return None
        return answer[2] if len(answer) > 2 else 0

    def ask_to_publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """As `publish`, without waiting for the answer."""
        body = text(topic) + self._next_id() + self._properties() + payload
        self._send(PUBLISH << 4 | 1 << 1 | retain, body)

    def publish_all(self, messages: dict[str, bytes]) -> None:
        """Returns once the broker has passed all of them on."""
        for topic, payload in messages.items():
            self.ask_to_publish(topic, payload)
        for _ in messages:
            self._wait_for(PUBACK)

    def subscribe(self, topic_filter: str) -> bool:
        """Whether it was granted, by the SUBACK, which proves little."""
        body = self._next_id() + self._properties() + text(topic_filter) + b"\x01"
        self._send(SUBSCRIBE << 4 | 2, body)
        try:
            return self._wait_for(SUBACK)[-1] < REFUSED
        except Gone:
            return False

    def collect(self) -> list[tuple[str, bytes]]:
        """What has come so far, as (topic, payload); nothing that the broker sent is missing."""
        with contextlib.suppress(Gone):
            self._send(PINGREQ << 4, b"")
            self._wait_for(PINGRESP)
        return self.received

    def _properties(self) -> bytes:
        return b"" if self.version == V311 else b"\0"

    def _next_id(self) -> bytes:
        self._packet_id += 1
        return struct.pack("!H", self._packet_id)

    def _send(self, kind: int, body: bytes) -> None:
        # What is read next says whether the broker is gone.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(bytes([kind]) + length(len(body)) + body)

    def _wait_for(self, kind: int) -> bytes:
        """The body of the next packet of a kind; messages before it are received."""
        for first, body in self._packets():
            if first >> 4 == PUBLISH:
                self._receive(first, body)
            elif first >> 4 == kind:
                return body
        raise Gone

    def _receive(self, first: int, body: bytes) -> None:
        size = int.from_bytes(body[:2])
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        if first >> 1 & 3:
            self._send(PUBACK << 4, rest[:2])
            rest = rest[2:]
        if self.version == V5:
            rest = rest[1 + rest[0] :]
        self.received.append((topic, rest))

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        while True:
            packet = self._cut()
            if packet:
                yield packet
                continue
            try:
                more = self._socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return
            self._buffer += more

    def _cut(self) -> tuple[int, bytes] | None:
        """The first packet out of the buffer, if it is there as a whole."""
        size = shift = 0
        for place, byte in enumerate(self._buffer[1:5], 2):
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                if len(self._buffer) < place + size:
                    return None
                packet = self._buffer[0], self._buffer[place : place + size]
                self._buffer = self._buffer[place + size :]
                return packet
        return None


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("!H", len(raw)) + raw


def length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)
