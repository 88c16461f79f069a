"""The dispatcher and real brokers: what a device gets, and what it becomes without one."""

import json
import threading
import uuid
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.commands import dispatcher
from devices.commands.dispatcher import NO_SUBSCRIBER
from devices.mqtt.session import Session
from iotplatform.embedded import Broker
from tests import cast as people
from tests.devices.commands.dispatching import dispatching, drain
from tests.iotplatform.processes import wait_until
from tests.servers import Mosquitto, free_pair


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory):
    # More than a command of a few bytes needs, and less than one of thousands.
    with Mosquitto(tmp_path_factory.mktemp("broker"), config=["max_packet_size 2000"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"), free_pair(), max_packet=2**20)
    with broker.running():
        yield broker


@pytest.fixture
def dev(transactional_db):
    """A device with a topic of its own at the brokers, which all tests share."""
    return people.device(f"dev-{uuid.uuid4().hex[:8]}", people.cast().t0)


def session(port):
    return Session(
        host="127.0.0.1", port=port, client_id=uuid.uuid4().hex, session_expiry=0,
        back_off=(0.01, 0.1),
    )  # fmt: skip


@contextmanager
def listening(port, dev, version):
    """The device's messages, as a client of its own gets them."""
    messages, subscribed = [], threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, dev.device_uid, protocol=version)
    client.on_message = lambda *arguments: messages.append(arguments[-1])
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    # Without these options a live message never says that it was published to be retained.
    as_published = SubscribeOptions(1, retainAsPublished=True)
    options = {"options": as_published} if version == paho.MQTTv5 else {"qos": 1}
    client.subscribe(f"t0/devices/{dev.device_uid}/commands", **options)
    assert subscribed.wait(10)
    yield messages
    client.disconnect()
    client.loop_stop()


def status(command):
    command.refresh_from_db()
    return command.status


@pytest.mark.mosquitto
def test_a_device_of_mqtt_5_gets_the_command_with_its_properties(mosquitto, dev):
    with listening(mosquitto.port, dev, paho.MQTTv5) as messages:
        command = people.command(dev)
        drain(session(mosquitto.port))
        wait_until(lambda: messages)
    (message,) = messages
    assert (message.qos, message.retain) == (1, False)
    assert json.loads(message.payload)["id"] == str(command.id)
    assert 86_000 < message.properties.MessageExpiryInterval <= 86_400
    assert message.properties.ResponseTopic == f"t0/devices/{dev.device_uid}/replies"
    assert message.properties.CorrelationData == str(command.id).encode()
    assert status(command) == "sent"


@pytest.mark.mosquitto
def test_a_device_that_is_not_there_has_its_command_wait_until_it_comes(
    mosquitto, dev, monkeypatch
):
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.1)
    command = people.command(dev)
    with dispatching(session(mosquitto.port)):
        wait_until(lambda: status(command) == "queued" and command.reason == NO_SUBSCRIBER)
        with listening(mosquitto.port, dev, paho.MQTTv311) as messages:
            wait_until(lambda: messages)
    wait_until(lambda: status(command) == "sent")


@pytest.mark.mosquitto
def test_a_command_that_is_too_large_for_the_broker_is_not_sent_and_says_why(mosquitto, dev):
    command = people.command(dev, params={"text": "x" * 3_000})
    drain(session(mosquitto.port))
    assert status(command) == "failed"
    assert "more than the broker takes (2000)" in command.error


def test_a_device_at_the_embedded_broker_gets_the_command(embedded, dev):
    with listening(embedded.port, dev, paho.MQTTv311) as messages:
        command = people.command(dev)
        drain(session(embedded.platform_port), with_properties=False)
        wait_until(lambda: messages)
    assert json.loads(messages[0].payload) == {
        "id": str(command.id),
        "cmd": "reboot",
        "params": {"delay": 5},
    }
    assert status(command) == "sent"
