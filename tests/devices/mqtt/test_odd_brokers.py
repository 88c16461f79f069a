"""The session against brokers that follow a script, for what real ones do not do on demand."""

import asyncio
import random

import pytest
from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    PingReqPacket,
    PubAckPacket,
    PublishPacket,
    QoS,
    RetainHandling,
)

from devices.mqtt.session import (
    Message,
    NotSent,
    SessionTakenOver,
    Subscription,
    SubscriptionRefused,
    Unreadable,
)
from tests.devices.mqtt.clients import (
    THE_CODEC_PANICS,
    Peer,
    Script,
    ScriptedBroker,
    collect,
    connected,
    new_session,
    payloads,
    publication,
    running,
    until,
)

BAD_TOPIC = publication(2, "a/\x01b").replace(b"\x01", b"\xff")
NEVER_ENDING_LENGTH = b"\x30\xff\xff\xff\xff"
UNKNOWN_PUBACK_CODE = b"\x40\x03\x00\x01\x77"
CONNACK_OF_3_1_1 = b"\x20\x02\x00\x01"


def disconnect(reason: DisconnectReasonCode) -> bytes:
    return DisconnectPacket(reason_code=reason).write()


async def packet_ids(peer: Peer, count: int) -> list[int]:
    return [(await peer.expect(PubAckPacket)).packet_id for _ in range(count)]


async def test_the_session_introduces_itself_as_agreed() -> None:
    async def script(peer: Peer) -> None:
        connect = await peer.accept()
        assert (connect.username, connect.password) == ("me", b"secret")
        assert not connect.clean_start
        assert (connect.session_expiry_interval, connect.receive_max) == (7 * 86400, 1000)
        assert (connect.max_packet_size, connect.topic_alias_max) == (None, 0)
        [wanted] = (await peer.grant()).topic_filters
        assert (wanted.pattern, wanted.max_qos) == ("a/+", QoS.AT_LEAST_ONCE)
        assert wanted.retain_handling == RetainHandling.SEND_NEVER
        goodbye = await peer.expect(DisconnectPacket)
        assert goodbye.reason_code == DisconnectReasonCode.NORMAL_DISCONNECTION
        assert goodbye.session_expiry_interval is None

    options = {"subscriptions": [Subscription("a/+", 2)], "username": "me", "password": "secret"}
    async with ScriptedBroker(script) as broker, connected(broker, **options):
        pass


@pytest.mark.parametrize("code", [0x00, 0x87])
async def test_a_grant_below_qos_1_stops_the_session(code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.grant(code)
        await peer.expect(DisconnectPacket)

    async with ScriptedBroker(script) as broker:
        with pytest.raises(SubscriptionRefused, match=f"{code:#04x} .* a/b"):
            await new_session(broker, "a/b").run()


async def taken_over_at_once(peer: Peer) -> None:
    await peer.accept()
    peer.send(disconnect(DisconnectReasonCode.SESSION_TAKEN_OVER))


async def taken_over_after_subscribing(peer: Peer) -> None:
    await peer.accept()
    await peer.grant()
    peer.send(disconnect(DisconnectReasonCode.SESSION_TAKEN_OVER))


@pytest.mark.parametrize("script", [taken_over_at_once, taken_over_after_subscribing])
async def test_a_session_that_was_taken_over_gives_up(script: Script) -> None:
    async with ScriptedBroker(script) as broker:
        with pytest.raises(SessionTakenOver):
            await new_session(broker, "a").run()


async def test_a_farewell_for_another_reason_is_logged_and_the_session_reconnects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(disconnect(DisconnectReasonCode.SERVER_SHUTTING_DOWN))

    async with ScriptedBroker(script) as broker, running(new_session(broker)) as session:
        await until(lambda: session.reconnects == 1)
        assert "SERVER_SHUTTING_DOWN" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        CONNACK_OF_3_1_1,
        b"",
        ConnAckPacket(reason_code=ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION).write(),
    ],
)
async def test_a_broker_without_mqtt_5_is_named_as_the_reason(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(ConnectPacket)
        peer.send(answer)

    async with ScriptedBroker(script) as broker, connected(broker):
        assert "must speak MQTT 5" in caplog.text


async def test_a_broker_that_drops_connections_is_left_alone_for_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def drop(peer: Peer) -> None:
        await peer.accept()

    async def last(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(1.1)

    ceilings: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: ceilings.append(high) or low)
    async with (
        ScriptedBroker(*[drop] * 7, last) as broker,
        running(new_session(broker, back_off=(0.01, 1))) as session,
    ):
        await until(lambda: session.reconnects == 8)
    assert ceilings == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 0.02]


@THE_CODEC_PANICS
async def test_an_unreadable_message_is_handed_over_in_its_place_and_acknowledged() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(publication(1), BAD_TOPIC, publication(3))
        assert await packet_ids(peer, 3) == [1, 2, 3]

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        messages = await collect(session, 3)
        assert [type(each) for each in messages] == [Message, Unreadable, Message]
        assert messages[1][:3] == (b"a/\xffb", b"2", 2)
        assert messages[1].frame == BAD_TOPIC
        session.acknowledge(messages)


@pytest.mark.parametrize(
    "nonsense",
    [
        NEVER_ENDING_LENGTH,
        UNKNOWN_PUBACK_CODE,
        PingReqPacket().write(),
        PublishPacket("a", b"", qos=QoS.EXACTLY_ONCE, packet_id=1).write(),
    ],
)
async def test_nonsense_ends_the_connection_but_not_the_session(
    nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(PublishPacket("a", b"before").write(), nonsense)
        await peer.until_left()

    async with ScriptedBroker(script) as broker, running(new_session(broker)) as session:
        await until(lambda: session.reconnects == 1)
        assert payloads(await session.receive(9, 99)) == [b"before"]
        assert "The broker sent" in caplog.text


async def test_a_message_is_acknowledged_once_however_often_it_is_asked_for() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(publication(1), publication(1, duplicate=True))
        assert await packet_ids(peer, 1) == [1]
        await peer.expect(PublishPacket)

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        messages = await collect(session, 2)
        session.acknowledge(messages)
        session.acknowledge(messages)
        await session.publish("after", b"", qos=0)
        assert session.unacknowledged == 0


async def test_properties_of_a_message_reach_the_broker() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        sent = await peer.expect(PublishPacket)
        assert (sent.topic, sent.payload, sent.qos, sent.retain) == ("a", b"1", QoS(1), True)
        assert (sent.message_expiry_interval, sent.response_topic) == (60, "answers")
        assert sent.correlation_data == b"id"
        peer.send(PubAckPacket(sent.packet_id).write())

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        properties = {"response_topic": "answers", "correlation_data": b"id"}
        assert await session.publish("a", b"1", retain=True, message_expiry=60, **properties) == 0


async def test_no_more_is_published_at_once_than_the_broker_takes() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(receive_max=2)
        sent = [await peer.expect(PublishPacket) for _ in range(3)]
        assert [each.payload for each in sent] == [b"1", b"2", b"unlimited"]
        peer.send(PubAckPacket(sent[0].packet_id).write())
        assert (await peer.expect(PublishPacket)).payload == b"3"

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        waiting = [asyncio.create_task(session.publish("a", each)) for each in (b"1", b"2", b"3")]
        await asyncio.sleep(0)
        await session.publish("a", b"unlimited", qos=0)
        assert await waiting[0] == 0
        outcomes = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert [type(each) for each in outcomes] == [ConnectionError] * 2


async def test_a_publication_nobody_waits_for_still_counts_until_it_is_answered() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(receive_max=1)
        first = await peer.expect(PublishPacket)
        assert (await peer.expect(PublishPacket)).payload == b"unlimited"
        peer.send(PubAckPacket(first.packet_id).write())
        second = await peer.expect(PublishPacket)
        peer.send(PubAckPacket(second.packet_id).write())

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.publish("a", b"1"), 0.01)
        second = asyncio.create_task(session.publish("a", b"2"))
        await asyncio.sleep(0)
        await session.publish("a", b"unlimited", qos=0)
        assert await second == 0


async def test_everybody_who_publishes_learns_of_a_lost_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(receive_max=1)
        await peer.expect(PublishPacket)

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        publishing = (session.publish("a", b"") for _ in range(3))
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
        assert [type(each) for each in outcomes] == [ConnectionError, NotSent, NotSent]


async def test_a_message_beyond_the_brokers_limit_is_refused_without_harm() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(receive_max=1, max_packet_size=100)
        small = await peer.expect(PublishPacket)
        peer.send(PubAckPacket(small.packet_id).write())

    async with ScriptedBroker(script) as broker, connected(broker) as session:
        for qos in (0, 1):
            with pytest.raises(ValueError, match="more than the broker takes"):
                await session.publish("a", b"x" * 100, qos=qos)
        assert await session.publish("a", b"x" * 50) == 0


async def test_a_quiet_connection_is_kept_alive_at_the_brokers_pace() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(server_keep_alive=1)
        await peer.expect(PingReqPacket)

    async with ScriptedBroker(script) as broker, connected(broker, keep_alive=600) as session:
        await until(lambda: session.reconnects == 1)


async def test_a_message_without_acknowledgement_pauses_reading_until_it_is_taken() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(PublishPacket("a", b"1").write())
        await peer.expect(PublishPacket)
        peer.send(PublishPacket("a", b"2").write())
        await peer.until_left()

    async with ScriptedBroker(script) as broker, connected(broker, high_water=10) as session:
        await until(lambda: session.is_paused)
        await session.publish("a", b"", qos=0)
        assert payloads(await collect(session, 2)) == [b"1", b"2"]
        assert not session.is_paused


async def test_a_broker_that_sends_more_than_it_may_is_not_read_until_acknowledgements() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(*(publication(number, "a") for number in range(1, 4)))
        await peer.until_left()

    async with ScriptedBroker(script) as broker, connected(broker, receive_maximum=2) as session:
        messages = await collect(session, 3)
        assert session.is_paused
        session.acknowledge(messages[:1])
        assert not session.is_paused


async def test_a_keep_alive_of_0_is_none() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(PublishPacket)
        await peer.expect(DisconnectPacket)

    async with ScriptedBroker(script) as broker, connected(broker, keep_alive=0) as session:
        await session.publish("a", b"", qos=0)


async def test_a_session_that_is_kept_for_less_than_asked_is_worth_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(session_expiry_interval=60)
        await peer.until_left()

    async with ScriptedBroker(script) as broker, connected(broker):
        assert "for 60 s only" in caplog.text


async def test_a_broker_that_fell_silent_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        ScriptedBroker() as broker,
        running(new_session(broker, keep_alive=1)) as session,
    ):
        await until(lambda: session.reconnects == 1)
        assert "fell silent" in caplog.text


async def test_a_broker_we_do_not_read_from_is_not_taken_for_silent() -> None:
    quiet = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(publication(1, "a" * 100))
        for _ in range(6):  # more than one and a half times the keep-alive
            await peer.expect(PingReqPacket)
        quiet.set()
        await peer.expect(PubAckPacket)

    options = {"high_water": 10, "keep_alive": 1}
    async with ScriptedBroker(script) as broker, connected(broker, **options) as session:
        messages = await collect(session, 1)
        await quiet.wait()
        assert session.is_paused
        session.acknowledge(messages)
        assert not session.is_paused
