"""The judge: what a publisher was promised by the broker, held against what the database keeps."""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.reasoncodes import ReasonCode

Key = tuple[str, str]
"""(device uid, msg_id)"""

# Packet ids of one connection come round again after this many messages.
MOST_MESSAGES = 65_000
SUCCESS = 0
STORED = """
SELECT device_uid, msg_id, payload
FROM telemetry_telemetry reading JOIN devices_device device ON device.id = reading.device_id
"""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    """Returns once `condition` holds; a failure says that `what` did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds} s in vain: {what}")
        time.sleep(0.005)


class Verdict(NamedTuple):
    """What is wrong. All three empty: every promise was kept."""

    lost: list[Key]
    doubled: list[Key]
    altered: list[Key]


KEPT = Verdict([], [], [])


class Ledger:
    """Publishes readings with QoS 1 as `devices`, and notes which of them the broker took over.

    Only a PUBACK with reason 0 is a promise. paho-mqtt shares no code with the platform's session
    and sends again what a broken connection left open.
    """

    def __init__(
        self, port: int, devices: Sequence[str] = tuple(f"dev-{n:02}" for n in range(20))
    ) -> None:
        self.devices = devices
        self.sent: dict[int, tuple[Key, dict[str, Any]]] = {}
        self._published = 0
        self._answers: dict[int, int] = {}
        self._connected = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, f"ledger-{uuid.uuid4().hex[:8]}", protocol=paho.MQTTv5
        )
        self.client.on_connect = lambda *_: self._connected.set()
        self.client.on_publish = self._on_publish
        self.client.max_inflight_messages_set(1000)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self.client.loop_start()
        assert self._connected.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason: ReasonCode, *_: Any
    ) -> None:
        # The mid alone: the thread that publishes may not have noted yet what it stands for.
        self._answers[mid] = reason.value

    def send(self, count: int) -> set[Key]:
        """Publishes `count` readings without waiting for the broker; their keys."""
        keys = {(random.choice(self.devices), uuid.uuid4().hex) for _ in range(count)}
        for key in keys:
            self.send_again(key)
        return keys

    def send_again(self, key: Key) -> None:
        """Publishes one reading under `key`; the same key makes the same reading."""
        reading = {"value": int(key[1][:6], 16), "note": f"“{key[1]}”"}
        mid = self.publish_raw(
            f"t0/devices/{key[0]}/telemetry", json.dumps({"msg_id": key[1], **reading}).encode()
        )
        self.sent[mid] = (key, reading)

    def send_bad(self, uid: str) -> None:
        """Publishes a message that can never be stored."""
        self.publish_raw(f"t0/devices/{uid}/telemetry", b'{"msg_id": []}')

    def publish_raw(self, topic: str, body: bytes) -> int:
        """Publishes anything; the message's number at the client."""
        self._published += 1
        assert self._published < MOST_MESSAGES
        return self.client.publish(topic, body, qos=1).mid

    def settle(self) -> None:
        """Returns once the broker has answered everything that was published."""
        wait_until(lambda: len(self._answers) == self._published, "PUBACK for all messages", 60)

    def publish(self, count: int) -> set[Key]:
        """Publishes `count` readings and has the broker's word for all of them; their keys."""
        keys = self.send(count)
        self.settle()
        assert keys <= self.promised.keys()
        return keys

    def wait_for_subscriber(self) -> None:
        """Returns once the broker knows somebody who wants our readings."""
        wait_until(self._is_wanted, "an ingestor that subscribed")

    def _is_wanted(self) -> bool:
        keys = self.send(1)
        self.settle()
        return keys <= self.promised.keys()

    @property
    def promised(self) -> dict[Key, dict[str, Any]]:
        """The readings that the broker took over."""
        return dict(self.sent[mid] for mid in self.sent if self._answers.get(mid) == SUCCESS)

    def verdict(self, connection: psycopg.Connection) -> Verdict:
        """Compares with the readings in the database."""
        rows = connection.execute(STORED).fetchall()
        stored = {(uid, msg_id): payload for uid, msg_id, payload in rows}
        times = Counter((uid, msg_id) for uid, msg_id, _ in rows)
        promised = self.promised
        return Verdict(
            lost=[key for key in promised if key not in stored],
            doubled=[key for key, count in times.items() if count > 1],
            altered=[
                key
                for key, reading in promised.items()
                if key in stored and not reading.items() <= stored[key].items()
            ],
        )
