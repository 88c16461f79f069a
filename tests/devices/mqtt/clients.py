"""Sessions for tests, and a broker that does what a script says."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import mqtt5
import pytest
from mqtt5 import (
    ConnAckPacket,
    ConnectPacket,
    DisconnectPacket,
    PublishPacket,
    QoS,
    SubAckPacket,
    SubscribePacket,
)

from devices.mqtt.connection import Received
from devices.mqtt.session import Session, Subscription

# On text that is not UTF-8 the codec reports an error that nobody can catch, besides its panic.
THE_CODEC_PANICS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Address(NamedTuple):
    """Where a broker listens."""

    port: int
    host: str = "127.0.0.1"


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


def new_session(broker: Any, *filters: str, **options: Any) -> Session:
    """A session that is quick to reconnect, with a client id of its own unless one is given."""
    return Session(
        **{
            "host": broker.host,
            "port": broker.port,
            "client_id": unique("client"),
            "subscriptions": [Subscription(each) for each in filters],
            "back_off": (0.01, 0.1),
            **options,
        }
    )


@asynccontextmanager
async def running(session: Session) -> AsyncIterator[Session]:
    """The session runs inside the block, connected or not."""
    runner = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        session.stop()
        await runner


@asynccontextmanager
async def connected(broker: Any, *filters: str, **options: Any) -> AsyncIterator[Session]:
    """A new session that is connected when the block begins."""
    async with running(new_session(broker, *filters, **options)) as session:
        await session.wait_until_connected()
        yield session


async def collect(session: Session, count: int) -> list[Received]:
    """The next `count` messages, not acknowledged."""
    messages: list[Received] = []
    while len(messages) < count:
        messages += await session.receive(count - len(messages), 2**30)
    return messages


async def until(condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds, for conditions that nothing announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def payloads(messages: list[Received]) -> list[bytes]:
    return [message.payload for message in messages]


def publication(number: int, topic: str = "a/b", **options: Any) -> bytes:
    """The bytes of a QoS 1 message with packet id and payload `number`."""
    packet = PublishPacket(
        topic, b"%d" % number, qos=QoS.AT_LEAST_ONCE, packet_id=number, **options
    )
    return packet.write()


class Peer:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    async def read(self) -> mqtt5.Packet | None:
        """The client's next packet; None when it has closed the connection."""
        while True:
            try:
                packet, size = mqtt5.read(memoryview(self._buffer))
            except IndexError:
                if not (data := await self._reader.read(65536)):
                    return None
                self._buffer += data
            else:
                self._buffer = self._buffer[size:]
                return packet

    async def expect(self, kind: type) -> Any:
        """The client's next packet, which has to be of this kind."""
        packet = await self.read()
        assert isinstance(packet, kind), f"{packet} instead of {kind.__name__}"
        return packet

    async def accept(self, **connack: Any) -> ConnectPacket:
        """Reads CONNECT, and grants everything."""
        connect = await self.expect(ConnectPacket)
        self.send(ConnAckPacket(**connack).write())
        return connect

    async def grant(self, code: int = 1) -> SubscribePacket:
        subscribe = await self.expect(SubscribePacket)
        codes = [mqtt5.SubAckReasonCode(code)] * len(subscribe.topic_filters)
        self.send(SubAckPacket(subscribe.packet_id, codes).write())
        return subscribe

    def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))

    async def until_left(self) -> None:
        """Reads until the client takes leave or has closed the connection."""
        while not isinstance(await self.read(), DisconnectPacket | None):
            pass


Script = Callable[[Peer], Awaitable[None]]


class ScriptedBroker:
    """Plays one script a connection, in order, then closes it; afterwards it accepts and waits."""

    host = "127.0.0.1"

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._playing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._playing)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._playing.add(asyncio.current_task())
        script = self._scripts.pop(0) if self._scripts else wait
        try:
            await script(Peer(reader, writer))
        finally:
            writer.close()


async def wait(peer: Peer) -> None:
    """A script: accept the client and let it be."""
    await peer.accept()
    await peer.until_left()
