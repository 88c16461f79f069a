"""What Mosquitto is told bites: of each change, whoever it is about feels it."""

import asyncio

import pytest

from devices.brokers import changes
from devices.brokers.mosquitto import conversation, live
from devices.brokers.mosquitto.management import Management
from devices.brokers.mosquitto.plans import FOREIGN, UNKNOWN
from devices.credentials.issuing import issue, revoke
from devices.models import BrokerChange, Credential, Device
from tests import cast as people
from tests.devices.brokers.mosquitto.telling import Client, asked, is_let_in, said, state, tell

pytestmark = [pytest.mark.mosquitto, pytest.mark.django_db]


def topic(device, kind="commands"):
    return f"t0/devices/{device.device_uid}/{kind}"


def new_token(device, **terms):
    """A token that the broker knows."""
    token = people.token(device, **terms)
    assert not any(told.error for told in tell())
    return token


def switch(device, *, on):
    Device.objects.filter(pk=device.pk).update(is_enabled=on)
    BrokerChange.objects.note([device.pk], with_gateways=True)
    tell()


def command(broker, device, payload=b"do"):
    """As the dispatcher publishes; MQTT 5 says whether anybody gets it."""
    with Client(
        broker, "dispatcher@platform", "the dispatcher's password .........", "x"
    ) as sender:
        assert sender.is_in
        sender.publish(topic(device), payload)


def test_a_new_token_opens_for_its_device_and_its_own_client_id_alone(broker, dev):
    token = new_token(dev)
    assert is_let_in(broker, dev.device_uid, token)
    assert not is_let_in(broker, dev.device_uid, token, client_id="another")
    assert not is_let_in(broker, dev.device_uid, token[:-1] + "x")
    assert not BrokerChange.objects.exists()


@pytest.fixture
def writes(monkeypatch):
    """The names of the commands at which the broker writes its file, as they are asked."""
    names = []
    ask = conversation.Conversation.ask

    def noting(talk, commands):
        names.extend(each["command"] for each in commands if "get" not in each["command"])
        return ask(talk, commands)

    monkeypatch.setattr(conversation.Conversation, "ask", noting)
    return names


def test_the_broker_writes_its_file_as_seldom_as_can_be(broker, dev, writes):
    new_token(dev)
    assert writes == ["createRole", "createClient"]
    new_token(dev)
    assert writes[2:] == ["modifyClient"]
    BrokerChange.objects.note([dev.pk])
    tell()
    assert len(writes) == 3


def test_rotation_ends_the_session_of_the_old_token(broker, dev):
    old = new_token(dev)
    with Client(broker, dev.device_uid, old) as client:
        assert client.is_in
        new = new_token(dev)
        assert client.is_put_off
    assert not is_let_in(broker, dev.device_uid, old)
    assert is_let_in(broker, dev.device_uid, new)


def test_what_was_told_already_disturbs_nobody_when_it_is_told_again(broker, dev):
    token = people.token(dev)
    claimed = changes.claim(10)
    for _ in range(2):
        asked(lambda talk: Management(talk).tell(claimed))
        with Client(broker, dev.device_uid, token) as client:
            asked(lambda talk: Management(talk).tell(claimed))
            assert not client.is_put_off


def test_a_disabled_device_is_put_off_and_hears_nothing_any_more_until_it_is_enabled(broker, dev):
    token = new_token(dev)
    with Client(broker, dev.device_uid, token) as client:
        assert client.subscribe(topic(dev))
        switch(dev, on=False)
        assert client.is_put_off
        command(broker, dev, b"while it is off")
        assert client.collect() == []
    with Client(broker, dev.device_uid, token) as client:
        assert not client.is_in
        assert client.collect() == []
    switch(dev, on=True)
    assert is_let_in(broker, dev.device_uid, token)


def test_a_token_that_was_given_to_a_disabled_device_counts_once_it_is_enabled(broker, dev):
    old = new_token(dev)
    switch(dev, on=False)
    new = new_token(dev)
    assert not is_let_in(broker, dev.device_uid, new)
    switch(dev, on=True)
    assert not is_let_in(broker, dev.device_uid, old)
    assert is_let_in(broker, dev.device_uid, new)


def test_a_first_token_of_a_disabled_device_opens_nothing_yet(broker, dev):
    Device.objects.filter(pk=dev.pk).update(is_enabled=False)
    token = new_token(dev)
    assert not is_let_in(broker, dev.device_uid, token)
    switch(dev, on=True)
    assert is_let_in(broker, dev.device_uid, token)


def test_a_deleted_device_leaves_nothing_at_the_broker(broker, dev):
    token = new_token(dev)
    with Client(broker, dev.device_uid, token) as client:
        BrokerChange.objects.note([dev.pk])
        Device.objects.filter(pk=dev.pk).delete()
        tell()
        assert client.is_put_off
    assert dev.device_uid not in state().accounts
    assert f"device:{dev.device_uid}" not in state().roles


def test_a_revoked_token_ends_at_once(broker, dev):
    token = new_token(dev)
    with Client(broker, dev.device_uid, token) as client:
        revoke(Credential.objects.filter(device=dev))
        tell()
        assert client.is_put_off
    assert not is_let_in(broker, dev.device_uid, token)


def test_a_token_whose_time_is_over_ends_without_anybody_doing_anything(broker, dev):
    token = new_token(dev)
    Credential.objects.filter(device=dev).update(expires_at="2026-01-01T00:00Z")
    with Client(broker, dev.device_uid, token) as client:
        assert changes.expire() == 1
        tell()
        assert client.is_put_off


def test_a_gateways_list_grows_and_shrinks_in_a_live_session(broker, cast, dev):
    sensor = people.device(f"{dev.device_uid}-sensor", cast.t0)
    token = new_token(dev)
    credential = Credential.objects.get(device=dev)
    with Client(broker, dev.device_uid, token) as client:
        client.subscribe(topic(sensor))
        credential.gateway_for.add(sensor)
        BrokerChange.objects.note([dev.pk])
        tell()
        assert client.publish(topic(sensor, "telemetry"), b"{}") == 0x10
        assert client.subscribe(topic(sensor))
        command(broker, sensor, b"one")
        assert client.collect() == [(topic(sensor), b"one")]
        credential.gateway_for.clear()
        BrokerChange.objects.note([dev.pk])
        tell()
        command(broker, sensor, b"two")
        assert client.collect() == [(topic(sensor), b"one")]
        assert client.publish(topic(sensor, "telemetry"), b"{}") == 0x87


def test_a_gateway_may_no_more_for_a_device_that_is_disabled(broker, cast, dev):
    sensor = people.device(f"{dev.device_uid}-sensor", cast.t0)
    token = new_token(dev, gateway_for=[sensor])
    with Client(broker, dev.device_uid, token) as client:
        assert client.publish(topic(sensor, "telemetry"), b"{}") == 0x10
        switch(sensor, on=False)
        assert client.publish(topic(sensor, "telemetry"), b"{}") == 0x87


def test_a_gateway_of_many_devices_fits(broker, cast, dev):
    sensors = [people.device(f"{dev.device_uid}-{n}", cast.t0) for n in range(300)]
    token = new_token(dev, gateway_for=sensors)
    with Client(broker, dev.device_uid, token) as client:
        assert client.publish(topic(sensors[-1], "status"), b"{}") == 0x10


def test_what_holds_outlives_the_broker(broker, dev):
    token = new_token(dev)
    broker.restart()
    assert is_let_in(broker, dev.device_uid, token)


def test_a_device_that_the_broker_does_not_know_needs_a_new_token(broker, dev):
    new_token(dev)
    said({"command": "deleteClient", "username": dev.device_uid})
    BrokerChange.objects.note([dev.pk])
    (told,) = tell()
    assert told.error == UNKNOWN
    change = BrokerChange.objects.get()
    assert change.error == UNKNOWN
    assert (change.due_at - change.noted_at).total_seconds() > 300
    token = people.token(dev)
    tell()
    assert is_let_in(broker, dev.device_uid, token)
    assert not BrokerChange.objects.exists()


def test_a_password_that_is_of_no_token_in_force_is_shut_out(broker, dev):
    token = new_token(dev)
    # As after the database came back from a copy of an earlier day.
    Credential.objects.filter(device=dev).update(digest=bytes(32))
    BrokerChange.objects.note([dev.pk])
    (told,) = tell()
    assert told.error == UNKNOWN
    assert not is_let_in(broker, dev.device_uid, token)


def test_an_account_of_somebody_else_is_never_taken_over(broker, dev):
    said({"command": "createClient", "username": dev.device_uid, "password": "theirs"})
    people.token(dev)
    (told,) = tell()
    assert told.error == FOREIGN
    assert is_let_in(broker, dev.device_uid, "theirs", client_id="any")
    said({"command": "deleteClient", "username": dev.device_uid})


def test_an_error_of_one_device_is_not_the_next_ones(broker, cast, dev):
    said({"command": "createClient", "username": dev.device_uid, "password": "theirs"})
    other = people.device(f"{dev.device_uid}-other", cast.t0)
    tokens = [issued.token for issued in issue([dev, other], by=None)]
    assert sorted(told.error for told in tell()) == ["", FOREIGN]
    assert is_let_in(broker, other.device_uid, tokens[1])
    said({"command": "deleteClient", "username": dev.device_uid})


def test_what_the_broker_did_not_answer_is_told_again(broker, dev, monkeypatch):
    token = people.token(dev)
    with monkeypatch.context() as lost:
        lost.setattr(conversation, "ANSWER_SECONDS", 0.05)
        lost.setattr(conversation.Conversation, "_hear", lambda *_: None)
        (told,) = tell()
    assert told.error == conversation.NO_ANSWER
    BrokerChange.objects.update(due_at="2026-01-01T00:00Z")
    tell()
    assert is_let_in(broker, dev.device_uid, token)


def test_what_is_done_by_half_is_finished_the_next_time(broker, dev):
    token = people.token(dev)
    said({"command": "createRole", "rolename": f"device:{dev.device_uid}", "acls": []})
    tell()
    with Client(broker, dev.device_uid, token) as client:
        assert client.publish(topic(dev, "telemetry"), b"{}") == 0x10


def test_with_a_lost_connection_nobody_is_at_fault(broker, dev):
    people.token(dev)
    claimed = changes.claim(10)

    async def main():
        async with live.conversing() as (session, talk):
            session.stop()
            while session.connected:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return await Management(talk).tell(claimed)

    (told,) = asyncio.run(main())
    assert (told.error, told.again) == ("", 1.0)
