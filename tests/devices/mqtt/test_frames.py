"""Cutting a stream of bytes into packets, whole, in pieces and damaged."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt5 import ConnAckPacket, ConnectPacket, PublishPacket

from devices.mqtt.connection import Connection, Message, Received, Unreadable
from devices.mqtt.frames import PUBLISH, BadFrame, FrameReader, ProtocolError, dissect
from tests.devices.mqtt.clients import THE_CODEC_PANICS, publication

EMPTY_TOPIC = b"\x32\x06\x00\x00\x00\x07\x00x"
SEED = 20_240_229


def pieces(data: bytes, chance: random.Random, longest: int) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + chance.randint(1, longest)
        yield data[start:end]
        start = end


@given(sizes=st.lists(st.integers(0, 300), max_size=20), seed=st.integers(0, 99))
def test_packets_come_out_whole_however_the_stream_is_cut(sizes: list[int], seed: int) -> None:
    sent = [PublishPacket("a/b", b"x" * size) for size in sizes]
    stream = b"".join(packet.write() for packet in sent)
    reader = FrameReader()
    received = [
        packet for part in pieces(stream, random.Random(seed), 50) for packet in reader.feed(part)
    ]
    assert received == sent


def test_a_large_packet_in_small_pieces_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    read = mqtt5.read
    monkeypatch.setattr(mqtt5, "read", lambda view: calls.append(len(view)) or read(view))
    frame = PublishPacket("a", bytes(1_000_000)).write()
    reader = FrameReader()
    parts = [frame[n : n + 1000] for n in range(0, len(frame), 1000)]
    packets = [packet for part in parts for packet in reader.feed(part)]
    assert [len(packet.payload) for packet in packets] == [1_000_000]
    assert len(calls) == 2


def test_an_unreadable_packet_does_not_harm_its_neighbours() -> None:
    [before, bad, after] = FrameReader().feed(publication(1) + EMPTY_TOPIC + publication(2))
    assert (before.packet_id, after.packet_id) == (1, 2)
    assert isinstance(bad, BadFrame)
    assert bad.is_publish
    assert bad.frame == EMPTY_TOPIC


def test_an_unreadable_packet_is_cut_out_only_when_it_is_complete() -> None:
    reader = FrameReader()
    assert list(reader.feed(EMPTY_TOPIC[:-1])) == []
    assert [packet.frame for packet in reader.feed(EMPTY_TOPIC[-1:])] == [EMPTY_TOPIC]


def test_a_length_that_never_ends_is_an_error_after_what_was_readable() -> None:
    packets = FrameReader().feed(publication(1) + b"\x30\x80\x80\x80\x80\x01")
    assert next(packets).packet_id == 1
    with pytest.raises(ProtocolError, match="length"):
        next(packets)


@pytest.mark.parametrize(
    ("frame", "parts"),
    [
        (EMPTY_TOPIC, (b"", b"x", 7)),
        (b"\x32\x0b\x00\x02a\xff\x00\x07\x02\x01\x01xy", (b"a\xff", b"xy", 7)),
        (b"\x30\x06\x00\x02a\xff\x00x", (b"a\xff", b"x", None)),
        (b"\x34\x08\x00\x02a\xff\x00\x07\x00x", (b"a\xff", b"x", None)),
        (b"\x32\x08\x00\x02a\xff\x00\x07\x7fx", (b"a\xff", b"\x7fx", 7)),
        (b"\x32\x0a\x00\x02a\xff\x00\x07\xff\xff\xff\xff", (b"a\xff", b"\xff\xff\xff\xff", 7)),
        (b"\x32\x04\x00\x09ab", (b"", b"\x32\x04\x00\x09ab", None)),
        (b"\x32\x00", (b"", b"\x32\x00", None)),
    ],
)
def test_an_unreadable_message_is_dissected_as_far_as_it_goes(
    frame: bytes, parts: tuple[bytes, bytes, int | None]
) -> None:
    assert dissect(frame) == parts


class Wire(asyncio.Transport):
    """The network below a connection, without the network."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.is_open = False


def damaged(frame: bytes, chance: random.Random, first: int) -> bytes:
    """One to three bytes from `first` on changed, the packet's length as it was."""
    copy = bytearray(frame)
    for _ in range(chance.randint(1, 3)):
        copy[chance.randrange(first, len(copy))] = chance.randrange(256)
    return bytes(copy)


def specimens() -> list[bytes]:
    """Packets a broker may send; all are shorter than 130 bytes."""
    properties = {
        "message_expiry_interval": 5,
        "content_type": "text",
        "response_topic": "ä/b",
        "user_properties": [("key", "välue")],
    }
    return [
        publication(1, "t0/devices/dev-01/telemetry"),
        publication(2, "ä/b", retain=True, duplicate=True, **properties),
        PublishPacket("a/b", b'{"temperature": 21.5}').write(),
        PublishPacket("a", b"", subscription_ids=[1, 200]).write(),
        *(b"\x40\x02\x00\x05", b"\x40\x04\x00\x05\x10\x00", b"\x90\x04\x00\x05\x00\x01"),
        *(b"\xb0\x04\x00\x05\x00\x11", b"\xd0\x00", b"\xe0\x02\x8b\x00", b"\x20\x03\x00\x00\x00"),
    ]


async def shaken(number: int, frames: list[bytes], chance: random.Random) -> tuple[Any, ...]:
    """Feeds the frames in random pieces; what came out, and whether the connection is open."""
    received: list[Received] = []
    connection, wire = Connection(number, received.extend), Wire()
    connection.connection_made(wire)
    greeting = asyncio.create_task(connection.handshake(ConnectPacket("me", keep_alive=30)))
    await asyncio.sleep(0)
    connection.data_received(ConnAckPacket().write())
    await greeting
    for part in pieces(b"".join(frames), chance, chance.choice([3, 50, 1000])):
        connection.data_received(part)
    connection.acknowledge(received)
    assert (connection.unacknowledged, connection.weight) == ({}, 0)
    connection.connection_lost(None)
    return received, wire.is_open


@THE_CODEC_PANICS
async def test_damaged_packets_do_not_touch_those_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUST_BACKTRACE", "0")  # half a millisecond a panic otherwise
    chance, kinds = random.Random(SEED), set()
    good = PublishPacket("a", b"good").write()
    publishes = [frame for frame in specimens() if frame[0] >> 4 == PUBLISH]
    for number in range(5_000):
        bad = [damaged(chance.choice(publishes), chance, 2) for _ in range(20)]
        frames = [frame for pair in zip(bad, [good] * 20, strict=True) for frame in pair]
        received, is_open = await shaken(number, frames, chance)
        assert is_open
        assert len(received) == 40
        assert {message.payload for message in received[1::2]} == {b"good"}
        kinds |= {type(message) for message in received[::2]}
    assert kinds == {Message, Unreadable}


@THE_CODEC_PANICS
async def test_no_damage_gets_past_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUST_BACKTRACE", "0")
    chance, outcomes = random.Random(SEED + 1), {True: 0, False: 0}
    for number in range(5_000):
        frames = [
            frame if frame == b"\xd0\x00" else damaged(frame, chance, 0)
            for frame in chance.choices(specimens(), k=10)
        ]
        _, is_open = await shaken(number, frames, chance)
        outcomes[is_open] += 1
    assert min(outcomes.values()) > 100
