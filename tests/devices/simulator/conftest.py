"""A broker for all tests of a file, and whoever commands devices through it."""

import contextlib
import itertools
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest

from devices.simulator.device import Faults
from devices.simulator.link import Broker
from devices.simulator.simulation import Simulation
from iotplatform import embedded
from tests.servers import free_pair

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Broker]:
    broker = embedded.Broker(tmp_path_factory.mktemp("broker"), free_pair())
    with broker.running():
        yield broker


class Commander:
    """Sends commands to dev-01 of a tenant of its own, and hears what it says."""

    def __init__(self, port: int) -> None:
        self.tenant = f"tenant-{next(numbers)}"
        self._heard: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self._granted = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, self.tenant, protocol=paho.MQTTv311
        )
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.connect("127.0.0.1", port)
        for kind in ("telemetry", "status", "replies"):
            self._client.subscribe(f"{self.tenant}/devices/dev-01/{kind}", qos=1)
        self._client.loop_start()
        assert self._granted.wait(10)

    def _hear(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        self._heard.put((message.topic.rsplit("/", 1)[1], json.loads(message.payload)))

    def send(self, command_id: str, cmd: str, **params: Any) -> None:
        body = json.dumps({"id": command_id, "cmd": cmd, "params": params})
        self._client.publish(f"{self.tenant}/devices/dev-01/commands", body, qos=1)

    def hear_next(self) -> tuple[str, dict[str, Any]]:
        """The next message, as (kind, body)."""
        return self._heard.get(timeout=10)

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of that kind; those of others before it are passed over."""
        while True:
            heard, body = self.hear_next()
            if heard == kind:
                return body

    def hear_until_offline(self) -> list[tuple[str, dict[str, Any]]]:
        """All that the device says to its end."""
        heard = [self.hear_next()]
        while heard[-1][1].get("state") != "offline":
            heard.append(self.hear_next())
        return heard

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def commander(broker: embedded.Broker) -> Iterator[Commander]:
    commander = Commander(broker.port)
    yield commander
    commander.close()


@contextlib.contextmanager
def simulated(
    broker: embedded.Broker, commander: Commander, *, interval: float = 3600.0, **faults: Any
) -> Iterator[Simulation]:
    """A device, online inside the block; after it, it has said goodbye and lost nothing."""
    address = Broker("127.0.0.1", broker.port)
    simulation = Simulation(
        commander.tenant, ["dev-01"], address, interval=interval, faults=Faults(**faults)
    )
    missing: list[int] = []
    thread = threading.Thread(target=lambda: missing.append(simulation.run()))
    thread.start()
    try:
        while commander.hear("status")["state"] != "online":
            pass
        yield simulation
    finally:
        simulation.stop()
        thread.join(20)
    assert missing == [0]
