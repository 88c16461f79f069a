"""One network connection to an MQTT 5 broker.

What must not outlive the connection lives here: packet ids, messages not yet acknowledged, callers
who wait for an answer, the keep-alive.
"""

import asyncio
import itertools
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    PingReqPacket,
    PingRespPacket,
    PubAckPacket,
    PublishPacket,
    QoS,
    SubAckPacket,
    SubscribePacket,
    TopicFilter,
    UnsubAckPacket,
    UnsubscribePacket,
)

from devices.mqtt.frames import BadFrame, FrameReader, ProtocolError, dissect

# What the objects of one message take in memory besides its topic and payload, about.
OVERHEAD = 300
LEAVE_SECONDS = 3
CONNACK_ID = 0  # CONNECT has no packet id, and 0 is no valid one

REFUSAL_HINTS = {
    "UNSUPPORTED_PROTOCOL_VERSION": "it must speak MQTT 5 on this port.",
    "BAD_USER_NAME_OR_PASSWORD": "check the user name and the password.",
    "NOT_AUTHORIZED": "check the user name, the password and the broker's access rules.",
    "CLIENT_ID_NOT_VALID": "choose another client id.",
}
AT_LEAST_ONCE = QoS.AT_LEAST_ONCE

AnswerT = TypeVar("AnswerT", ConnAckPacket, SubAckPacket, UnsubAckPacket, PubAckPacket)


class SessionTakenOver(Exception):
    """Another client has connected with our client id; to reconnect would start a fight."""


class NotSent(ConnectionError):
    """There is no connection to the broker; nothing was written."""


class ConnectRefused(ConnectionError):
    """The broker answered CONNECT with a refusal."""


class Message(NamedTuple):
    """A message from the broker."""

    topic: str
    payload: bytes
    packet_id: int | None  # None at QoS 0: nothing to acknowledge
    received_at: float  # seconds since the epoch
    connection: int  # number of the connection it came on
    retain: bool


class Unreadable(NamedTuple):
    """A message that the codec cannot read, cut into parts as far as that goes."""

    topic: bytes
    payload: bytes
    packet_id: int | None
    received_at: float
    connection: int
    frame: bytes
    error: str


Received = Message | Unreadable


def weight(message: Received) -> int:
    """About the memory that a message takes, in bytes."""
    return len(message.topic) + len(message.payload) + OVERHEAD


class Connection(asyncio.Protocol):
    """The protocol object below a session; `deliver` is called with the messages of each read."""

    def __init__(self, number: int, deliver: Callable[[list[Received]], None]) -> None:
        self.number = number
        self.unacknowledged: dict[int, Received] = {}
        self.weight = 0  # of the unacknowledged messages
        self.is_paused = False
        self.closed = asyncio.Event()
        self.error: Exception | None = None  # why the connection ended
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._answers: dict[int, tuple[type, asyncio.Future[Any]]] = {}
        self._packet_ids = itertools.cycle(range(1, 65536))
        self._quota = asyncio.Semaphore(0)
        self._max_packet_size: int | None = None
        self._is_accepted = False
        self._is_leaving = False
        self._keep_alive = 0
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._wrote_at = self._loop.time()

    async def handshake(self, packet: ConnectPacket) -> ConnAckPacket:
        """Sends CONNECT and returns the broker's consent; ConnectRefused if it has none."""
        try:
            connack = await self._request(CONNACK_ID, packet.write(), ConnAckPacket)
        except ConnectionError as error:
            raise ConnectRefused(
                f"No answer to CONNECT; the port must speak MQTT 5, with TLS if we do. {error}"
            ) from error
        if connack.reason_code != ConnAckReasonCode.SUCCESS:
            raise ConnectRefused(_refusal(connack))
        self._is_accepted = True
        self._quota = asyncio.Semaphore(connack.receive_max)
        self._max_packet_size = connack.max_packet_size
        self._keep_alive = connack.server_keep_alive or packet.keep_alive
        if self._keep_alive:
            self._stay_in_touch()
        return connack

    async def subscribe(self, filters: list[TopicFilter]) -> list[int]:
        """The QoS granted for each filter, or the reason code of its refusal."""
        packet_id = self._free_packet_id()
        frame = SubscribePacket(packet_id, filters).write()
        answer = await self._request(packet_id, frame, SubAckPacket)
        return [int(code) for code in answer.reason_codes]

    def unsubscribe(self, filters: list[str]) -> None:
        """Does not wait: rumqttd never answers for a filter that it does not know."""
        self._write(UnsubscribePacket(self._free_packet_id(), filters).write())

    async def publish(self, build: Callable[[int], PublishPacket]) -> int:
        """Sends what `build` makes of a packet id, with QoS 1; returns the PUBACK's reason code."""
        await self._quota.acquire()
        try:
            packet_id = self._free_packet_id()
            frame = self._within_limit(build(packet_id).write())
            self._check_open()
        except BaseException:
            self._quota.release()
            raise
        return int((await self._request(packet_id, frame, PubAckPacket)).reason_code)

    def send(self, packet: PublishPacket) -> None:
        """Sends a message with QoS 0, which nobody answers."""
        frame = self._within_limit(packet.write())
        self._check_open()
        self._write(frame)

    def acknowledge(self, messages: Iterable[Received]) -> None:
        """Acknowledges `messages` in one write, except those of other connections."""
        acks = []
        for message in messages:
            packet_id = message.packet_id
            # Ids are used again: an ack on a later connection, or a second one for the same
            # message, would destroy another message. So this very object must be waiting.
            if packet_id is not None and self.unacknowledged.get(packet_id) is message:
                del self.unacknowledged[packet_id]
                self.weight -= weight(message)
                acks.append(PubAckPacket(packet_id).write())
        if acks and not self._is_leaving:
            self._write(b"".join(acks))

    def pause(self) -> None:
        """Stops reading: what the broker sends waits in the network and at the broker."""
        if self._transport and not self.is_paused:
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport and self.is_paused:
            self.is_paused = False
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    async def run(self) -> NoReturn:
        """Waits for the end of the connection and raises its reason."""
        await self.closed.wait()
        raise self.error or AssertionError("closed without a reason")

    async def leave(self) -> None:
        """Takes leave so that the broker keeps the session; returns when all is written."""
        if self._transport is None:
            return
        if self._is_accepted and self.error is None:
            self._write(DisconnectPacket().write())
            self._is_leaving = True
            # The broker closes first. If we did, with messages of its unread, the network would
            # reset the connection, and acknowledgements on their way might be lost.
            self.resume()
            self._call_later(LEAVE_SECONDS, self._transport.abort)
        else:
            self._transport.abort()
        await self.closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._is_leaving or self.error:
            return
        now = time.time()
        received: list[Received] = []
        try:
            for packet in self._reader.feed(data):
                if type(packet) is PublishPacket:
                    received.append(self._message(packet, now))
                elif type(packet) is BadFrame:
                    received.append(self._unreadable(packet, now))
                else:
                    self._handle(packet)
        except (ConnectionError, SessionTakenOver) as error:
            self._fail(error)
        if received:
            self._deliver(received)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.error is None:
            self.error = exc or ConnectionError("The broker closed the connection.")
        if self._timer:
            self._timer.cancel()
        for _, answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(str(self.error)))
        # Whoever waits for the quota wakes up, finds the connection closed, and wakes the next.
        self._quota.release()
        self.closed.set()

    def _message(self, packet: PublishPacket, now: float) -> Message:
        message = Message(
            packet.topic, packet.payload, packet.packet_id, now, self.number, packet.retain
        )
        if message.packet_id is not None:
            if packet.qos != AT_LEAST_ONCE:
                raise ProtocolError(
                    "The broker sent a message with QoS 2, which was never asked for; "
                    "remove the session of this client id at the broker."
                )
            self._expect_acknowledgement(message.packet_id, message)
        return message

    def _unreadable(self, bad: BadFrame, now: float) -> Unreadable:
        if not bad.is_publish:
            raise ProtocolError(f"The broker sent a packet that cannot be read: {bad.error}.")
        topic, payload, packet_id = dissect(bad.frame)
        message = Unreadable(topic, payload, packet_id, now, self.number, bad.frame, bad.error)
        if packet_id is not None:
            self._expect_acknowledgement(packet_id, message)
        return message

    def _expect_acknowledgement(self, packet_id: int, message: Received) -> None:
        # Some brokers send a message again on a live connection: one ack answers both.
        if packet_id in self.unacknowledged:
            self.weight -= weight(self.unacknowledged[packet_id])
        self.unacknowledged[packet_id] = message
        self.weight += weight(message)

    def _handle(self, packet: object) -> None:
        match packet:
            case ConnAckPacket():
                self._settle(CONNACK_ID, packet)
            case PubAckPacket() | SubAckPacket() | UnsubAckPacket():
                self._settle(packet.packet_id, packet)
            case DisconnectPacket():
                raise _farewell(packet)
            case PingRespPacket():
                pass
            case _:
                raise ProtocolError(f"The broker sent {type(packet).__name__}, out of place.")

    def _settle(self, packet_id: int, packet: object) -> None:
        if packet_id not in self._answers:
            return
        kind, answer = self._answers[packet_id]
        if type(packet) is not kind:
            raise ProtocolError(f"The broker answered {type(packet).__name__}, out of place.")
        del self._answers[packet_id]
        if kind is PubAckPacket:
            self._quota.release()
        # A caller who stopped waiting still occupied its packet id and its place in the quota.
        if not answer.done():
            answer.set_result(packet)

    async def _request(self, packet_id: int, frame: bytes, kind: type[AnswerT]) -> AnswerT:
        self._check_open()
        answer: asyncio.Future[AnswerT] = self._loop.create_future()
        self._answers[packet_id] = kind, answer
        self._write(frame)
        return await answer

    def _free_packet_id(self) -> int:
        return next(number for number in self._packet_ids if number not in self._answers)

    def _within_limit(self, frame: bytes) -> bytes:
        if self._max_packet_size and len(frame) > self._max_packet_size:
            raise ValueError(
                f"A message of {len(frame)} bytes is more than the broker takes "
                f"({self._max_packet_size}); make it smaller or raise the broker's limit."
            )
        return frame

    def _check_open(self) -> None:
        if self._is_leaving or self.error:
            raise NotSent(f"Not connected to the broker: {self.error or 'leaving'}")

    def _write(self, data: bytes) -> None:
        if self._transport and self.error is None:
            self._wrote_at = self._loop.time()
            self._transport.write(data)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        if self._transport:
            self._transport.abort()

    def _stay_in_touch(self) -> None:
        """Asks the broker for a sign of life in quiet times; gives up when none comes."""
        now = self._loop.time()
        # While we do not read, silence says nothing about the broker.
        if not self.is_paused and now - self._heard_at > 1.5 * self._keep_alive:
            self._fail(ConnectionError("The broker fell silent."))
            return
        if now - min(self._heard_at, self._wrote_at) >= self._keep_alive / 2:
            self._write(PingReqPacket().write())
        self._call_later(self._keep_alive / 4, self._stay_in_touch)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)


def without_tls(error: ssl.SSLError) -> str:
    """Why nothing was sent to whoever answered, and what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"The port must speak TLS, 1.2 or newer, if we do. {error}"
    why = error.verify_message.rstrip(".")
    # OpenSSL's word where the certificate is of another host.
    if "mismatch" in why:
        hint = "connect by a name that is in it, or have one made for this name as well."
    else:
        hint = "trust the authority that signed it (MQTT__CA), or renew it if its time is over."
    return f"The broker's certificate is refused: {why}; {hint}"


def _refusal(connack: ConnAckPacket) -> str:
    reason = connack.reason_code.name
    text = f"The broker refused the connection: {connack.reason_str or reason}"
    return f"{text}; {hint}" if (hint := REFUSAL_HINTS.get(reason)) else text


def _farewell(packet: DisconnectPacket) -> Exception:
    if packet.reason_code == DisconnectReasonCode.SESSION_TAKEN_OVER:
        return SessionTakenOver("Another client has connected to the broker with this client id.")
    reason = packet.reason_str or packet.reason_code.name
    return ConnectionError(f"The broker ended the connection: {reason}")
