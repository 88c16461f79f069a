"""A dispatcher at a closed Mosquitto: it tells the broker of devices beside its commands."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command

from devices.brokers import carrier as carriers
from devices.brokers.carrier import Carrier, subscriptions, teller
from devices.commands.dispatcher import Dispatcher
from devices.daemon.broker import session_options
from devices.daemon.services import dispatcher as service
from devices.daemon.writer import Writer
from devices.management.commands import run_dispatcher
from devices.models import BrokerChange
from devices.mqtt.session import Session, SubscriptionRefused
from tests import cast as people
from tests.devices.brokers.mosquitto.telling import Client, is_let_in
from tests.iotplatform.processes import wait_until

UID = "dev-at-work"
TOPIC = f"t0/devices/{UID}/commands"


def dispatch(ready=lambda *_: None, **options):
    """Runs a dispatcher as it is configured; `ready` gets it, and its loop."""

    async def main():
        session = Session(
            **session_options(service()),
            client_id=f"{service().client_id}-test",
            subscriptions=subscriptions(),
            session_expiry=0,
            back_off=(0.01, 0.1),
        )
        writers = [Writer(), Writer()]
        carrier = Carrier(teller(session), writers[1])
        made = Dispatcher(session, writers[0], "test", with_properties=True, carrier=carrier)
        ready(made, asyncio.get_running_loop())
        try:
            await made.run(**options)
        finally:
            for writer in writers:
                writer.close()

    asyncio.run(main())


@contextmanager
def at_work():
    """A dispatcher is at work inside the block."""
    made, started = [], threading.Event()
    thread = threading.Thread(target=dispatch, args=[lambda *m: (made.extend(m), started.set())])
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        made[1].call_soon_threadsafe(made[0].stop)
        thread.join(15)
        assert not thread.is_alive()


@pytest.mark.mosquitto
def test_tokens_and_commands_reach_the_broker_side_by_side(transactional_db, broker):
    device = people.device(UID, people.cast().t0)
    with at_work():
        token = people.token(device)
        wait_until(lambda: not BrokerChange.objects.exists(), 5)
        with Client(broker, UID, token) as client:
            assert client.subscribe(TOPIC)
            command = people.command(device)
            wait_until(lambda: client.collect())
    assert str(command.id) in client.received[0][1].decode()
    command.refresh_from_db()
    assert command.status == "sent"


@pytest.mark.mosquitto
def test_a_drain_carries_changes_as_well_and_one_in_error_does_not_keep_it(
    transactional_db, broker
):
    cast = people.cast()
    people.token(cast.foreign)
    BrokerChange.objects.update(token="")
    device = people.device(f"{UID}-2", cast.t0)
    token = people.token(device)
    command = people.command(device)
    dispatch(drain=True)
    assert is_let_in(broker, device.device_uid, token)
    assert "issue a new token" in BrokerChange.objects.get().error
    command.refresh_from_db()
    assert "No subscriber" in command.reason


def test_an_open_broker_is_told_nothing_and_emqx_another_way(settings):
    assert (teller(None), subscriptions()) == (None, [])
    settings.MQTT_ACCESS = "emqx"
    assert teller(None).tell is carriers.emqx.tell
    assert subscriptions() == []


def test_a_broker_that_does_not_let_the_dispatcher_manage_is_named_with_advice(monkeypatch):
    async def refused(**_):
        raise ExceptionGroup("", [SubscriptionRefused("The broker answers 0x87.")])

    monkeypatch.setattr(run_dispatcher, "dispatch", refused)
    with pytest.raises(CommandError, match=r"answers 0x87\. .*sync_broker --file"):
        call_command("run_dispatcher")
