"""Cuts the bytes from a broker into MQTT 5 packets, readable or not. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import mqtt5

PUBLISH = 3
LONGEST_LENGTH = 4  # bytes of a variable byte integer


class ProtocolError(ConnectionError):
    """The broker sent something that MQTT 5 does not allow here; the connection must be closed."""


class BadFrame(NamedTuple):
    """One whole packet that the codec refuses to read."""

    frame: bytes
    error: str

    @property
    def is_publish(self) -> bool:
        return self.frame[0] >> 4 == PUBLISH


class Dissection(NamedTuple):
    """What can be cut out of a PUBLISH packet without reading it."""

    topic: bytes
    payload: bytes
    packet_id: int | None


class FrameReader:
    """Collects the bytes of one connection until packets are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> Iterator[mqtt5.Packet | BadFrame]:
        """The packets that `data` completes; raises ProtocolError if their ends cannot be found."""
        buffer = self._buffer
        buffer += data
        # A large packet comes in many pieces: it is looked at only when its last one is there.
        if len(buffer) < self._wanted:
            return
        self._wanted = 0
        start = 0
        with memoryview(buffer) as view:
            while start < len(view):
                packet: mqtt5.Packet | BadFrame
                try:
                    packet, size = mqtt5.read(view[start:])
                except BaseException as error:
                    _raise_unless_from_codec(error)
                    size = frame_size(view[start:])
                    if start + size > len(view):
                        self._wanted = size
                        break
                    packet = BadFrame(bytes(view[start : start + size]), str(error))
                start += size
                yield packet
        del buffer[:start]


def frame_size(buffer: bytes | memoryview) -> int:
    """Bytes of the packet at the head of `buffer`; one more than there are if that is not known."""
    length, end = _variable_integer(buffer, 1)
    return end + length


def dissect(frame: bytes) -> Dissection:
    """Cuts topic and payload out of an unreadable PUBLISH, or leaves all of it in the payload."""
    _, topic_start = _variable_integer(frame, 1)
    topic_start += 2
    topic_end = topic_start + int.from_bytes(frame[topic_start - 2 : topic_start], "big")
    qos = frame[0] >> 1 & 3
    id_end = topic_end + (2 if qos else 0)
    if id_end > len(frame):
        return Dissection(b"", frame, None)
    packet_id = int.from_bytes(frame[topic_end:id_end], "big") if qos == 1 else None
    return Dissection(
        frame[topic_start:topic_end], _without_properties(frame[id_end:]), packet_id or None
    )


def _without_properties(rest: bytes) -> bytes:
    try:
        length, end = _variable_integer(rest, 0)
    except ProtocolError:
        return rest
    return rest[end + length :] if end + length <= len(rest) else rest


def _variable_integer(buffer: bytes | memoryview, start: int) -> tuple[int, int]:
    """The integer at `start` and the index behind it, which is behind the buffer if incomplete."""
    value = 0
    for position, byte in enumerate(buffer[start : start + LONGEST_LENGTH]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, start + position + 1
    if len(buffer) - start >= LONGEST_LENGTH:
        raise ProtocolError("The broker sent a packet whose length cannot be read.")
    return 0, len(buffer) + 1


def _raise_unless_from_codec(error: BaseException) -> None:
    """Lets everything pass that does not come from the bytes: signals, want of memory."""
    # On text that is not UTF-8 the codec panics, with a BaseException that no module exports.
    if not isinstance(error, ValueError | IndexError) and type(error).__name__ != "PanicException":
        raise error
