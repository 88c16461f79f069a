"""The embedded broker, tried with paho-mqtt as an independent client of both versions."""

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from iotplatform.embedded import Broker
from iotplatform.ports import PortTakenError, answers
from tests.iotplatform.processes import ROOT, environment, wait_until
from tests.servers import free_pair

TELEMETRY = "t0/devices/dev-01/telemetry"

KILLED = """
import os, sys
from pathlib import Path
from iotplatform.embedded import Broker
with Broker(Path(sys.argv[1]), int(sys.argv[2])).running():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, free_pair())
    with broker.running():
        yield broker


@contextlib.contextmanager
def client(port: int, version: int, name: str) -> Iterator[paho.Client]:
    """A client that keeps its session."""
    session = {"clean_session": False} if version == paho.MQTTv311 else {}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=version, **session)
    connected: queue.Queue[bool] = queue.Queue()
    client.on_connect = lambda *arguments: connected.put(not arguments[3].is_failure)
    start = {"clean_start": False} if version == paho.MQTTv5 else {}
    client.connect("127.0.0.1", port, **start)
    client.loop_start()
    assert connected.get(timeout=10)
    yield client
    client.disconnect()
    client.loop_stop()


@contextlib.contextmanager
def subscriber(port: int, version: int, topic: str) -> Iterator["queue.Queue[bytes]"]:
    got: queue.Queue[bytes] = queue.Queue()
    granted: queue.Queue[bool] = queue.Queue()
    with client(port, version, "subscriber") as reader:
        reader.on_message = lambda _, __, message: got.put(message.payload)
        reader.on_subscribe = lambda *_: granted.put(True)
        reader.subscribe(topic, qos=1)
        assert granted.get(timeout=10)
        yield got


def publish(client: paho.Client, payload: bytes) -> None:
    client.publish(TELEMETRY, payload, qos=1).wait_for_publish(10)


def test_a_device_with_3_1_1_reaches_the_platform_with_5(broker: Broker) -> None:
    with (
        subscriber(broker.platform_port, paho.MQTTv5, "+/devices/+/telemetry") as got,
        client(broker.port, paho.MQTTv311, "dev-01") as device,
    ):
        publish(device, b'{"t": 1}')
        assert got.get(timeout=10) == b'{"t": 1}'


def test_the_platform_with_5_reaches_a_device_with_3_1_1(broker: Broker) -> None:
    with (
        subscriber(broker.port, paho.MQTTv311, TELEMETRY) as got,
        client(broker.platform_port, paho.MQTTv5, "platform") as platform,
    ):
        for number in range(300):
            publish(platform, b"%d" % number)
        assert [int(got.get(timeout=10)) for _ in range(300)] == list(range(300))


def test_the_largest_payload_gets_through(broker: Broker) -> None:
    with (
        subscriber(broker.platform_port, paho.MQTTv5, TELEMETRY) as got,
        client(broker.port, paho.MQTTv311, "dev-01") as device,
    ):
        publish(device, b"x" * 256 * 1024)
        assert len(got.get(timeout=10)) == 256 * 1024


def test_it_is_gone_after_its_block(tmp_path: Path) -> None:
    broker = Broker(tmp_path, free_pair())
    with broker.running():
        assert broker.is_running()
    assert not broker.is_running()
    assert not answers("127.0.0.1", broker.port)


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    port = free_pair()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(port)]
    killed = subprocess.run(command, cwd=ROOT, env=environment(), timeout=30, check=False)
    assert killed.returncode == -9
    wait_until(lambda: not answers("127.0.0.1", port))


@pytest.mark.parametrize("which", [0, 1], ids=["devices", "platform"])
def test_a_taken_port_is_named_with_its_variable(tmp_path: Path, which: int) -> None:
    port = free_pair()
    with (
        socket.create_server(("127.0.0.1", port + which)),
        pytest.raises(PortTakenError, match=f"port {port + which}: .* MQTT__PORT"),
        Broker(tmp_path, port).running(),
    ):
        pass


def test_a_port_beyond_the_last_is_no_port(tmp_path: Path) -> None:
    with pytest.raises(PortTakenError, match="MQTT__PORT"), Broker(tmp_path, 65535).running():
        pass
