"""The session against real brokers: Debian's Mosquitto and the embedded one."""

import asyncio
import re
import ssl
from pathlib import Path

import pytest

from devices.mqtt.session import Session, Subscription
from iotplatform.embedded.broker import Broker
from tests.devices.mqtt.clients import (
    Address,
    collect,
    connected,
    new_session,
    payloads,
    running,
    unique,
    until,
)
from tests.servers import Mosquitto

NO_MATCHING_SUBSCRIBERS = 0x10


async def send(broker: Address | Mosquitto, topic: str, *bodies: bytes) -> None:
    async with connected(broker) as sender:
        for body in bodies:
            assert await sender.publish(topic, body) == 0


async def test_a_message_makes_the_round_trip(broker: Address) -> None:
    async with connected(broker, "a/+/c") as session:
        assert await session.publish("a/ä/c", b"\x00\xffbody") == 0
        [message] = await collect(session, 1)
        assert (message.topic, message.payload) == ("a/ä/c", b"\x00\xffbody")
        assert message.packet_id
        assert not message.retain


@pytest.mark.mosquitto
async def test_a_qos_0_message_needs_no_acknowledgement(mosquitto: Mosquitto) -> None:
    async with connected(mosquitto, "a") as session:
        assert await session.publish("a", b"body", qos=0) == 0
        [message] = await collect(session, 1)
        assert message.packet_id is None
        assert session.unacknowledged == 0


async def test_a_retained_message_comes_to_a_new_subscriber(broker: Address) -> None:
    async with connected(broker) as sender:
        await sender.publish("state", b"online", retain=True)
    async with connected(broker, "state") as session:
        [message] = await collect(session, 1)
        assert message.retain


@pytest.mark.mosquitto
async def test_a_retained_message_stays_away_if_so_subscribed(mosquitto: Mosquitto) -> None:
    async with connected(mosquitto) as sender:
        await sender.publish("old", b"retained", retain=True)
    subscriptions = [Subscription("old", retain_handling=2)]
    async with connected(mosquitto, subscriptions=subscriptions) as session:
        await session.publish("old", b"fresh")
        assert payloads(await collect(session, 1)) == [b"fresh"]


async def test_messages_of_an_absence_arrive_when_the_session_resumes(broker: Address) -> None:
    me = unique("resumes")
    async with connected(broker, "a", client_id=me) as session:
        assert not session.session_present
    await send(broker, "a", b"1", b"2", b"3")
    async with connected(broker, "a", client_id=me) as session:
        assert session.session_present
        assert payloads(await collect(session, 3)) == [b"1", b"2", b"3"]


async def test_only_what_was_not_acknowledged_comes_again(broker: Address) -> None:
    me = unique("partly")
    async with connected(broker, "a", client_id=me) as session:
        await send(broker, "a", b"1", b"2", b"3", b"4")
        messages = await collect(session, 4)
        session.acknowledge(messages[:2])
        assert session.unacknowledged == 2
        assert session.oldest_unacknowledged == messages[2].received_at
    async with connected(broker, "a", client_id=me) as session:
        assert payloads(await collect(session, 2)) == [b"3", b"4"]


async def test_a_late_acknowledgement_destroys_nothing(broker: Address) -> None:
    me = unique("late")
    async with connected(broker, "a", client_id=me) as session:
        await send(broker, "a", b"1", b"2")
        early = await collect(session, 2)
    async with connected(broker, "a", client_id=me) as session:
        again = await collect(session, 2)
        session.acknowledge(early)
        assert session.unacknowledged == 2
    async with connected(broker, "a", client_id=me) as session:
        assert payloads(await collect(session, 2)) == payloads(again) == [b"1", b"2"]


@pytest.mark.mosquitto
async def test_filters_no_longer_wanted_are_unsubscribed(mosquitto: Mosquitto) -> None:
    me = unique("filters")
    async with connected(mosquitto, "old", "new", client_id=me):
        pass
    async with connected(mosquitto, "new", client_id=me, unsubscribe=["old"]) as session:
        assert await session.publish("old", b"") == NO_MATCHING_SUBSCRIBERS
        assert await session.publish("new", b"") == 0


async def test_a_filter_that_the_broker_does_not_know_may_be_unsubscribed(broker: Address) -> None:
    me = unique("filters")
    async with connected(broker, "a", client_id=me):
        pass
    async with connected(broker, "a", client_id=me, unsubscribe=["unknown"]) as session:
        await session.publish("a", b"1")
        assert payloads(await collect(session, 1)) == [b"1"]


async def test_a_message_of_megabytes_arrives_whole(broker: Address) -> None:
    body = bytes(range(256)) * 16 * 1024
    async with connected(broker, "large") as session:
        await session.publish("large", body)
        assert payloads(await collect(session, 1)) == [body]


async def test_many_messages_at_once_arrive_in_order(broker: Address) -> None:
    async with connected(broker, "a") as session:
        codes = asyncio.gather(*(session.publish("a", b"%d" % n) for n in range(3000)))
        messages = []
        while len(messages) < 3000:
            fresh = await session.receive(500, 2**20)
            session.acknowledge(fresh)
            messages += fresh
        assert set(await codes) == {0}
        assert payloads(messages) == [b"%d" % n for n in range(3000)]


async def test_receiving_is_limited_in_number_and_bytes(broker: Address) -> None:
    async with connected(broker, "a") as session:
        await send(broker, "a", *[b"x" * 10] * 6)
        await until(lambda: session.unacknowledged == 6)
        assert len(await session.receive(2, 2**20)) == 2
        assert len(await session.receive(9, 15)) == 2
        assert len(await session.receive(9, 1)) == 1
        assert len(await session.receive(9, 2**20)) == 1


async def test_a_wait_that_was_given_up_loses_nothing(broker: Address) -> None:
    async with connected(broker, "a") as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.receive(1, 1), 0.01)
        await send(broker, "a", b"1")
        assert payloads(await collect(session, 1)) == [b"1"]


async def test_the_caller_is_told_of_every_connect(broker: Address) -> None:
    me, told = unique("told"), []

    async def remember(session_present: bool) -> None:
        told.append(session_present)

    for on_connect in (remember, told.append):
        async with connected(broker, "a", client_id=me, on_connect=on_connect):
            pass
    assert told == [False, True]


@pytest.mark.mosquitto
async def test_the_session_survives_a_restart_of_the_broker(durable: Mosquitto) -> None:
    async with connected(durable, "a") as session:
        await send(durable, "a", b"before")
        [before] = await collect(session, 1)
        await asyncio.to_thread(durable.restart)
        [again] = await collect(session, 1)
        session.acknowledge([before, again])
        assert again.payload == b"before"
        assert again.connection > before.connection
        assert (session.reconnects, session.unacknowledged) == (1, 0)
        assert session.sessions_lost == 0


@pytest.mark.mosquitto
async def test_the_session_reconnects_after_the_broker_was_killed(mosquitto: Mosquitto) -> None:
    async with connected(mosquitto, "a") as session:
        mosquitto.kill()
        await until(lambda: not session.connected)
        with pytest.raises(ConnectionError, match="Not connected"):
            await session.publish("a", b"lost")
        mosquitto.start()
        await session.wait_until_connected()
        await session.publish("a", b"after")
        assert payloads(await collect(session, 1)) == [b"after"]


@pytest.mark.mosquitto
async def test_what_waits_in_the_queue_at_a_loss_comes_only_once(durable: Mosquitto) -> None:
    async with connected(durable, "a") as session:
        await send(durable, "a", b"1", b"2", b"3")
        await until(lambda: session.unacknowledged == 3)
        await asyncio.to_thread(durable.restart)
        await until(lambda: session.reconnects == 1 and session.unacknowledged == 3)
        assert payloads(await session.receive(9, 2**20)) == [b"1", b"2", b"3"]


@pytest.mark.mosquitto
async def test_what_waits_in_the_queue_is_kept_when_the_broker_loses_the_session(
    mosquitto: Mosquitto,
) -> None:
    async with connected(mosquitto, "a") as session:
        await send(mosquitto, "a", b"1", b"2")
        await until(lambda: session.unacknowledged == 2)
        await asyncio.to_thread(mosquitto.restart)
        await until(lambda: session.reconnects == 1 and session.connected)
        kept = await session.receive(9, 2**20)
        assert payloads(kept) == [b"1", b"2"]
        assert session.sessions_lost == 1
        session.acknowledge(kept)
        await send(mosquitto, "a", b"3")
        assert payloads(await collect(session, 1)) == [b"3"]


@pytest.mark.mosquitto
async def test_publishing_to_nobody_says_so(mosquitto: Mosquitto) -> None:
    async with connected(mosquitto) as session:
        assert await session.publish("nobody/listens", b"") == NO_MATCHING_SUBSCRIBERS


@pytest.mark.mosquitto
async def test_reading_pauses_while_too_much_is_in_hand(mosquitto: Mosquitto) -> None:
    body, total = b"x" * 8192, 500
    options = {"high_water": 65536, "receive_maximum": 65535}
    async with connected(mosquitto, "a", **options) as session, connected(mosquitto) as sender:
        await asyncio.gather(*(sender.publish("a", body) for _ in range(total)))
        await until(lambda: session.is_paused)
        assert session.unacknowledged * len(body) < 65536 + 2 * 262144
        for _ in range(total):
            session.acknowledge(await collect(session, 1))
        assert not session.is_paused
        assert session.unacknowledged == 0


def tls_lines(certificate: Path) -> list[str]:
    return [f"certfile {certificate}/cert.pem", f"keyfile {certificate}/key.pem"]


@pytest.mark.mosquitto
async def test_a_message_makes_the_round_trip_over_tls(tmp_path: Path, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=certificate / "cert.pem")
    with Mosquitto(tmp_path, persistence=True, config=tls_lines(certificate)) as broker:
        async with connected(broker, "a", tls=trust) as session:
            await session.publish("a", b"1" * 100_000)
            session.acknowledge(await collect(session, 1))
            await asyncio.to_thread(broker.restart)
            await until(lambda: session.reconnects == 1 and session.connected)
            await session.publish("a", b"2")
            assert payloads(await collect(session, 1)) == [b"2"]


@pytest.mark.mosquitto
@pytest.mark.parametrize(
    ("trusted", "host", "advice"),
    [
        (
            None,
            "127.0.0.1",
            r"is refused: .*certificate; trust the authority .*MQTT__CA",
        ),
        ("cert.pem", "localhost", r"not valid for 'localhost'; connect by a name that is in it"),
    ],
)
async def test_a_certificate_of_somebody_else_is_refused_and_the_log_says_what_to_do(
    tmp_path: Path, certificate: Path, caplog: pytest.LogCaptureFixture,
    trusted: str | None, host: str, advice: str,
) -> None:  # fmt: skip
    trust = ssl.create_default_context(cafile=trusted and certificate / trusted)
    with Mosquitto(tmp_path, config=tls_lines(certificate)) as broker:
        broker.host = host
        async with running(new_session(broker, tls=trust)) as session:
            await until(lambda: re.search(advice, caplog.text))
            assert not session.connected


async def test_a_port_that_speaks_no_tls_is_named_as_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request")

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = Address(server.sockets[0].getsockname()[1])
        async with running(new_session(address, tls=ssl.create_default_context())):
            await until(lambda: "must speak TLS" in caplog.text)


@pytest.mark.mosquitto
async def test_the_right_password_is_accepted(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, users={"platform": "sesame"}) as broker:
        async with connected(broker, username="platform", password="sesame") as session:
            assert session.connected


@pytest.mark.mosquitto
async def test_a_wrong_password_is_tried_again_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path, users={"platform": "sesame"}) as broker:
        async with running(new_session(broker, username="platform", password="wrong")) as session:
            await until(lambda: caplog.text.count("check the user name") >= 2)
            assert not session.connected


async def test_a_broker_of_the_older_protocol_is_named_as_the_reason(
    embedded: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(new_session(Address(embedded.port))):
        await until(lambda: "must speak MQTT 5" in caplog.text)


async def test_a_session_without_a_broker_can_be_stopped(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(host="127.0.0.1", port=1, client_id="lonely")
    async with running(session):
        await until(lambda: "No connection to the broker at 127.0.0.1:1" in caplog.text)
        assert not session.connected
