"""Simulated devices: plausible readings over MQTT 3.1.1, with the faults that real ones have."""

import itertools
import json
import logging
import math
import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from devices.mqtt import topics

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
ACKNOWLEDGE_SECONDS = 30
GOODBYE_SECONDS = 5
QUEUED_MESSAGES = 10_000
DAY_SECONDS = 86_400
LATE_SECONDS = 3_600

# Each of them is rejected, for a reason of its own.
BAD_BODIES = (
    b'{"temperature": NaN}',
    b'{"temperature": "\xff\xfe"}',
    b'{"temperature": 21.5, "msg_id": ""}',
    b'{"text": "\\u0000"}',
    b"[" * 100 + b"]" * 100,
)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where devices connect, and with which credentials."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """How probable it is that a message is sent twice, comes an hour late, or cannot be stored."""

    duplicates: float = 0.0
    late: float = 0.0
    bad: float = 0.0


class Sensors:
    """A temperature with the curve of a day, humidity against it, and a battery that empties."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._mean = chance.uniform(16, 26)
        self._wander = 0.0
        self._battery = chance.uniform(60, 100)

    def read(self, at: float) -> dict[str, float]:
        """The values at the time `at`, in °C, % and %."""
        self._wander = 0.95 * self._wander + self._chance.gauss(0, 0.1)
        # Warmest in the afternoon.
        day = math.sin((at % DAY_SECONDS / DAY_SECONDS - 0.375) * math.tau)
        temperature = self._mean + 4 * day + self._wander
        humidity = 55 - 12 * day - 3 * self._wander + self._chance.gauss(0, 0.3)
        # Changed when it is empty.
        self._battery = self._battery - 0.01 if self._battery > 5 else 100.0
        return {
            "temperature": round(temperature, 2),
            "humidity": round(humidity, 1),
            "battery": round(self._battery, 1),
        }


class SimulatedDevice:
    """A device with its own connection. Its messages wait while the broker is away."""

    def __init__(self, tenant: str, uid: str, broker: Broker, faults: Faults) -> None:
        self.uid = uid
        self._broker = broker
        self._faults = faults
        self._chance = random.Random()
        self._sensors = Sensors(self._chance)
        self._telemetry = topics.build(tenant, uid, "telemetry")
        self._status = topics.build(tenant, uid, "status")
        # Numbers begin again with every start, so the start is part of a message's id.
        self._boot = uuid.uuid4().hex[:8]
        self._sequence = 0
        self._session = ""
        self._open = 0
        self._acknowledged = threading.Condition()
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.uid,
            # The broker keeps what comes for the device while it is away.
            clean_session=False,
            protocol=paho.MQTTv311,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            client.tls_set(ca_certs=self._broker.ca or None)
        client.max_queued_messages_set(QUEUED_MESSAGES)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_pre_connect = self._begin_session
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def start(self) -> None:
        """Connects, and connects again whenever it has to, until `disconnect()`."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEP_ALIVE_SECONDS)
        self._client.loop_start()

    def send(self) -> None:
        """Publishes one message, or what a fault makes of it."""
        for body in self._messages(time.time()):
            self._publish(self._telemetry, body)

    def say_offline(self) -> None:
        self._publish(self._status, self._status_body("offline", reason="stopped"), retain=True)

    def wait_for_acknowledgements(self, seconds: float) -> int:
        """How many messages the broker has still not acknowledged after `seconds` at most."""
        with self._acknowledged:
            self._acknowledged.wait_for(lambda: not self._open, seconds)
            return self._open

    def disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _messages(self, now: float) -> Iterator[bytes]:
        self._sequence += 1
        message_id = f"{self._boot}:{self._sequence}"
        if self._chance.random() < self._faults.bad:
            yield self._chance.choice(BAD_BODIES)
            return
        at = now - LATE_SECONDS if self._chance.random() < self._faults.late else now
        reading = {"msg_id": message_id, "ts": round(at, 3), **self._sensors.read(at)}
        body = json.dumps(reading).encode()
        yield body
        if self._chance.random() < self._faults.duplicates:
            yield body

    def _status_body(self, state: str, **more: str) -> bytes:
        return json.dumps({"state": state, "session": self._session, **more}).encode()

    def _publish(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        with self._acknowledged:
            self._open += 1
        # While there is no connection this queues.
        if self._client.publish(topic, body, qos=1, retain=retain).rc == paho.MQTT_ERR_QUEUE_SIZE:
            logger.warning("%s: too many messages wait for the broker; one is lost.", self.uid)
            self._on_publish()

    def _on_publish(self, *_: Any) -> None:
        with self._acknowledged:
            self._open -= 1
            self._acknowledged.notify_all()

    def _begin_session(self, *_: Any) -> None:
        # An id for each connection: a Will that comes late is not taken for the end of the next.
        self._session = uuid.uuid4().hex[:12]
        will = self._status_body("offline", reason="connection lost")
        self._client.will_set(self._status, will, qos=1, retain=True)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        if reason.is_failure:
            logger.warning("%s: the broker refuses the connection: %s.", self.uid, reason)
            return
        logger.info("%s: connected.", self.uid)
        self._publish(self._status, self._status_body("online"), retain=True)

    def _on_connect_fail(self, *_: Any) -> None:
        broker = self._broker
        logger.warning("%s: no connection to %s, port %d.", self.uid, broker.host, broker.port)

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        if reason.is_failure:
            logger.warning("%s: connection lost: %s.", self.uid, reason)


class Simulation:
    """Devices `dev-01`, `dev-02` … that each send a message every `interval` seconds."""

    def __init__(
        self, tenant: str, devices: int, broker: Broker, *, interval: float, faults: Faults
    ) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self._devices = [
            SimulatedDevice(tenant, f"dev-{number:02}", broker, faults)
            for number in range(1, devices + 1)
        ]

    def stop(self) -> None:
        """Lets `run` come to its end; may be called from a signal handler."""
        self._stop.set()

    def run(self, count: int | None = None) -> int:
        """Sends until told to stop, or `count` messages a device and waits for the broker then.

        Returns how many messages the broker has not acknowledged.
        """
        for device in self._devices:
            device.start()
        try:
            self._send(count)
            if not self._stop.is_set():
                self._wait(ACKNOWLEDGE_SECONDS)
        finally:
            missing = self._leave()
        return missing

    def _send(self, count: int | None) -> None:
        started = time.monotonic()
        step = self._interval / len(self._devices)
        for number in itertools.count() if count is None else range(count * len(self._devices)):
            if self._stop.wait(max(0.0, started + number * step - time.monotonic())):
                return
            self._devices[number % len(self._devices)].send()

    def _leave(self) -> int:
        for device in self._devices:
            device.say_offline()
        missing = self._wait(GOODBYE_SECONDS)
        for device in self._devices:
            device.disconnect()
        return missing

    def _wait(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        return sum(
            device.wait_for_acknowledgements(max(0.0, deadline - time.monotonic()))
            for device in self._devices
        )
