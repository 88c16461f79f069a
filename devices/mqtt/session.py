"""An MQTT 5 session over any number of connections: what was subscribed with QoS 1 arrives at
least once, through restarts of either side, and stays with the broker until it is acknowledged.
"""

import asyncio
import functools
import inspect
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

from mqtt5 import ConnectPacket, PublishPacket, QoS, RetainHandling, TopicFilter

from devices.mqtt.connection import (
    Connection,
    ConnectRefused,
    Message,
    NotSent,
    Received,
    SessionTakenOver,
    Unreadable,
    weight,
    without_tls,
)

__all__ = [
    "ConnectRefused",
    "Message",
    "NotSent",
    "Received",
    "Session",
    "SessionTakenOver",
    "Subscription",
    "SubscriptionRefused",
    "Unreadable",
]

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10
GRANTED_QOS_1 = 1
REFUSED = 0x80


class SubscriptionRefused(Exception):
    """The broker grants a filter less than QoS 1, so messages could be lost."""


class Subscription(NamedTuple):
    """A topic filter, always with QoS 1.

    `retain_handling`: retained messages are sent 0 at every subscribe, 1 if it is new, 2 never.
    """

    filter: str
    retain_handling: int = 0


class Session:
    """`run()` keeps the session connected while others receive, acknowledge and publish.

    `receive_maximum`: unacknowledged messages that the broker may send; above it reading pauses.
    `high_water`: bytes received and not yet settled above which reading pauses.
    `back_off`: shortest and longest wait before a new attempt to connect, in seconds.
    `on_connect`: called with “session present” at every connect, before anything is subscribed.
    `unsubscribe`: filters that an earlier version of the program left in the session.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        subscriptions: Sequence[Subscription] = (),
        unsubscribe: Sequence[str] = (),
        keep_alive: int = 30,
        session_expiry: int = 7 * 86400,
        receive_maximum: int = 1000,
        high_water: int = 32 * 2**20,
        back_off: tuple[float, float] = (1, 30),
        on_connect: Callable[[bool], Awaitable[None] | None] | None = None,
    ) -> None:
        self._address = host, port
        self._tls = tls
        self._connect_packet = ConnectPacket(
            client_id,
            username=username,
            password=None if password is None else password.encode(),
            clean_start=False,
            keep_alive=keep_alive,
            session_expiry_interval=session_expiry,
            receive_max=receive_maximum,
        )
        self._subscriptions = subscriptions
        self._unsubscribe = list(unsubscribe)
        self._on_connect = on_connect
        self._keeps_session = session_expiry > 0
        self._receive_maximum = receive_maximum
        self._high_water = high_water
        self._back_off = back_off
        self._stopping = asyncio.Event()
        self._connected = asyncio.Event()
        self._connection: Connection | None = None
        self._connections = 0  # attempts, which number the connections
        self._accepted = 0
        self._sessions_lost = 0
        self._failures = 0
        self._queue: deque[Received] = deque()
        self._queue_filled = asyncio.Event()
        self._stranded: list[Received] = []
        self._unclaimed = 0  # weight of the messages without packet id in the queue
        self.session_present = False

    @property
    def connected(self) -> bool:
        """Whether the connection is up and everything subscribed."""
        return self._connected.is_set()

    @property
    def unacknowledged(self) -> int:
        """How many messages of the live connection wait for `acknowledge`."""
        return len(self._connection.unacknowledged) if self._connection else 0

    @property
    def oldest_unacknowledged(self) -> float | None:
        """When the oldest of them was received, in seconds since the epoch."""
        waiting = self._connection.unacknowledged if self._connection else {}
        return next((message.received_at for message in waiting.values()), None)

    @property
    def is_paused(self) -> bool:
        """Whether reading waits for messages to be settled."""
        return self._connection is not None and self._connection.is_paused

    @property
    def reconnects(self) -> int:
        """How often the connection was made again."""
        return max(0, self._accepted - 1)

    @property
    def sessions_lost(self) -> int:
        """How often a connection that was made again found that the broker had kept no session."""
        return self._sessions_lost

    async def run(self) -> None:
        """Stays connected until `stop()`; raises SessionTakenOver and SubscriptionRefused."""
        runner = asyncio.create_task(self._stay_connected())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({runner, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            runner.cancel()
            stop.cancel()
            await asyncio.wait({runner, stop})
        if not runner.cancelled():
            runner.result()

    def stop(self) -> None:
        """Has `run()` take leave of the broker, which keeps the session, and return."""
        self._stopping.set()

    async def wait_until_connected(self) -> None:
        await self._connected.wait()

    async def receive(self, limit: int, max_bytes: int) -> list[Received]:
        """Waits for a message, then returns all that are there, up to `limit` and `max_bytes`.

        The last message may exceed `max_bytes`. Cancelling this loses nothing.
        """
        while not self._queue:
            self._queue_filled.clear()
            await self._queue_filled.wait()
        taken: list[Received] = []
        queue, size = self._queue, 0
        while queue and len(taken) < limit and size < max_bytes:
            message = queue.popleft()
            taken.append(message)
            size += len(message.payload)
            if message.packet_id is None:
                self._unclaimed -= weight(message)
        self._resume_if_light()
        return taken

    def acknowledge(self, messages: Iterable[Received]) -> None:
        """Has the broker forget `messages`; those of an earlier connection come again instead."""
        if self._connection:
            self._connection.acknowledge(messages)
            self._resume_if_light()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        qos: int = 1,
        message_expiry: int | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
    ) -> int:
        """Publishes and returns the reason code of the PUBACK: 0x10 is “no matching subscribers”.

        `message_expiry` is in seconds. ConnectionError means that the outcome is unknown: publish
        again; NotSent, which is one, that nobody has it. With QoS 0 it returns 0 at once.
        """
        if self._connection is None or not self.connected:
            raise NotSent("Not connected to the broker; publish again later.")
        build = functools.partial(
            PublishPacket,
            topic,
            payload,
            qos=QoS(qos),
            retain=retain,
            message_expiry_interval=message_expiry,
            response_topic=response_topic,
            correlation_data=correlation_data,
        )
        if qos == 0:
            self._connection.send(build())
            return 0
        return await self._connection.publish(lambda packet_id: build(packet_id=packet_id))

    async def _stay_connected(self) -> NoReturn:
        while True:
            try:
                await self._serve_one_connection()
            except OSError as error:
                delay = self._next_delay()
                logger.warning(
                    "No connection to the broker at %s:%d, next attempt in %.1f s: %s",
                    *self._address,
                    delay,
                    error,
                )
                await asyncio.sleep(delay)

    def _next_delay(self) -> float:
        """Seconds, at random; the ceiling doubles with each connection that did not last."""
        shortest, longest = self._back_off
        self._failures += 1
        return random.uniform(shortest, min(longest, shortest * 2 ** min(self._failures, 16)))

    async def _serve_one_connection(self) -> NoReturn:
        self._connections += 1
        connection = self._connection = Connection(self._connections, self._enqueue)
        began = time.monotonic()
        try:
            await self._open(connection)
            await self._subscribe_all(connection)
            self._connected.set()
            await connection.run()
        except ConnectionError:
            # While we waited for an answer: the news must not pass for a mere loss.
            if isinstance(connection.error, SessionTakenOver):
                raise connection.error from None
            raise
        finally:
            self._connected.clear()
            await connection.leave()
            self._strand_unacknowledged()
            if time.monotonic() - began > self._back_off[1]:
                self._failures = 0

    async def _open(self, connection: Connection) -> None:
        host, port = self._address
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: connection, host, port, ssl=self._tls)
                connack = await connection.handshake(self._connect_packet)
        except TimeoutError as error:
            raise ConnectionError(f"No answer within {CONNECT_SECONDS} s.") from error
        except ssl.SSLError as error:
            raise ConnectionError(without_tls(error)) from error
        self.session_present = connack.session_present
        if self._accepted and self._keeps_session and not self.session_present:
            self._sessions_lost += 1
        self._accepted += 1
        self._settle_stranded()
        logger.info(
            "Connected to the broker at %s:%d, session present: %s.",
            *self._address,
            self.session_present,
        )
        kept = connack.session_expiry_interval
        if kept is not None and kept < self._connect_packet.session_expiry_interval:
            logger.warning("The broker keeps the session for %d s only.", kept)
        if self._on_connect:
            result = self._on_connect(self.session_present)
            if inspect.isawaitable(result):
                await result

    async def _subscribe_all(self, connection: Connection) -> None:
        if self._unsubscribe and self.session_present:
            connection.unsubscribe(self._unsubscribe)
        if not self._subscriptions:
            return
        granted = await connection.subscribe(
            [
                TopicFilter(
                    subscription.filter,
                    max_qos=QoS.AT_LEAST_ONCE,
                    retain_handling=RetainHandling(subscription.retain_handling),
                )
                for subscription in self._subscriptions
            ]
        )
        for subscription, code in zip(self._subscriptions, granted, strict=True):
            if code != GRANTED_QOS_1:
                raise SubscriptionRefused(
                    f"The broker answers {code:#04x} to the subscription of {subscription.filter}; "
                    "allow this client to subscribe to it with QoS 1."
                )

    def _enqueue(self, messages: list[Received]) -> None:
        self._queue.extend(messages)
        self._unclaimed += sum(weight(m) for m in messages if m.packet_id is None)
        self._queue_filled.set()
        if self._connection and (self._held() > self._high_water or self._exceeds_maximum()):
            self._connection.pause()

    def _resume_if_light(self) -> None:
        if self._connection and self._held() < self._high_water / 2 and not self._exceeds_maximum():
            self._connection.resume()

    def _exceeds_maximum(self) -> bool:
        """Whether the broker sent more than it may.

        Mosquitto 2.0 takes each acknowledgement of a backlog for leave to send a whole window.
        Without a limit of ours it would use packet ids again that still wait for theirs.
        """
        return self.unacknowledged > self._receive_maximum

    def _held(self) -> int:
        """Bytes received and not settled: unacknowledged, or without need of it and not taken."""
        return self._unclaimed + (self._connection.weight if self._connection else 0)

    def _strand_unacknowledged(self) -> None:
        """Sets aside what the broker will send again, if it keeps the session."""
        self._connection = None
        self._stranded += [m for m in self._queue if m.packet_id is not None]
        self._queue = deque(m for m in self._queue if m.packet_id is None)

    def _settle_stranded(self) -> None:
        """Delivers after all what a broker that lost the session will never send again."""
        if self._stranded and not self.session_present:
            count = len(self._stranded)
            logger.warning("The broker lost the session; %d messages of it are in hand.", count)
            self._enqueue([message._replace(packet_id=None) for message in self._stranded])
        self._stranded.clear()
