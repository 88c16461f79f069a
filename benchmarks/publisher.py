"""A publisher fast enough to fill a broker's queue: QoS 1 on the mqtt5 codec, a wide window."""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator

import mqtt5

DEVICES = 1_000
# Packet ids end at 65,535.
WINDOW = 30_000

Message = tuple[str, bytes]
"""(topic, payload)"""


def readings(count: int, tenant: str = "t0", devices: int = DEVICES) -> Iterator[Message]:
    """Readings of about 110 bytes, round the devices, each with a random id and its own time."""
    now = time.time()
    for number in range(count):
        body = (
            f'{{"msg_id":"{random.getrandbits(128):032x}","ts":{now + number / 1e4:.3f},'
            f'"temperature":{random.uniform(15, 35):.2f},"humidity":{random.uniform(20, 90):.1f},'
            f'"ok":true}}'
        )
        yield f"{tenant}/devices/dev-{number % devices:05}/telemetry", body.encode()


def publish(port: int, messages: Iterable[Message]) -> int:
    """Publishes `messages`, and says how many, once the broker has acknowledged every one."""
    return asyncio.run(_publish(port, messages))


async def _publish(port: int, messages: Iterable[Message]) -> int:
    count = 0
    async with await Publisher.connect(port) as publisher:
        for topic, payload in messages:
            publisher.send(topic, payload)
            count += 1
            if publisher.has_to_wait:
                await publisher.wait()
        await publisher.settle()
    return count


class Publisher(asyncio.Protocol):
    """One connection to the broker. `send` never waits; `wait` after it where `has_to_wait`."""

    def __init__(self) -> None:
        self.unacknowledged = 0
        self.refused = 0
        self._transport: asyncio.Transport
        self._connected = asyncio.Event()
        self._changed = asyncio.Event()
        self._received = bytearray()
        self._full = False
        self._next_id = 0

    @classmethod
    async def connect(cls, port: int) -> "Publisher":
        loop = asyncio.get_running_loop()
        _, publisher = await loop.create_connection(cls, "127.0.0.1", port)
        await publisher._connected.wait()
        return publisher

    async def __aenter__(self) -> "Publisher":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.write(mqtt5.DisconnectPacket().write())
        self._transport.close()

    @property
    def has_to_wait(self) -> bool:
        return self._full or self.unacknowledged >= WINDOW

    def send(self, topic: str, payload: bytes) -> None:
        self._next_id = self._next_id % 65_535 + 1
        packet = mqtt5.PublishPacket(
            topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._next_id
        )
        self._transport.write(packet.write())
        self.unacknowledged += 1

    async def wait(self) -> None:
        """Returns once `send` may be called again."""
        while self.has_to_wait:
            self._changed.clear()
            await self._changed.wait()

    async def settle(self) -> None:
        """Returns once everything is acknowledged; raises if the broker refused anything."""
        while self.unacknowledged:
            self._changed.clear()
            await self._changed.wait()
        if self.refused:
            raise RuntimeError(f"The broker had no use for {self.refused} messages.")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(mqtt5.ConnectPacket(f"bench-{random.getrandbits(40):x}").write())

    def connection_lost(self, error: Exception | None) -> None:
        if self.unacknowledged:
            raise RuntimeError("The broker closed the publisher's connection.") from error

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        with memoryview(self._received) as view:
            used = self._take(view)
        del self._received[:used]
        self._changed.set()

    def _take(self, view: memoryview) -> int:
        used = 0
        while used < len(view):
            try:
                packet, size = mqtt5.read(view[used:])
            except IndexError:
                break
            used += size
            if isinstance(packet, mqtt5.PubAckPacket):
                self.unacknowledged -= 1
                self.refused += packet.reason_code != mqtt5.PubAckReasonCode.SUCCESS
            elif isinstance(packet, mqtt5.ConnAckPacket):
                self._connected.set()
        return used
