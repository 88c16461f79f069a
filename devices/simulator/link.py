"""The way of a simulated device to its broker and back, over MQTT 3.1.1."""

import json
import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from devices.mqtt import topics
from devices.simulator.schedule import Schedule

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
QUEUED_MESSAGES = 10_000
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0

REFUSED = (
    "%s: the broker refuses it: %s. %s It goes on trying, less and less often, and says no more "
    "of it until it is let in."
)
WITH_TOKEN = "Is the device enabled, and its token (--credentials) the last one that was issued?"
WITHOUT_TOKEN = "Give the devices their tokens by --credentials."


@dataclass(frozen=True, slots=True)
class Broker:
    """Where devices connect, and with which credentials."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""

    def with_token(self, uid: str, token: str) -> Self:
        """The same for a device that proves who it is."""
        return replace(self, username=uid, password=token)


class Link:
    """A device's connection, which it makes anew whenever it has to.

    Messages wait while the broker is away. `unacknowledged` counts those that the broker may not
    have, `is_online` says whether it has been told so in this session, `is_refused` whether it does
    not let the device in. Everything but paho's own callbacks happens in the thread of the
    schedule.
    """

    def __init__(
        self,
        tenant: str,
        uid: str,
        broker: Broker,
        schedule: Schedule,
        *,
        on_online: Callable[[], None],
        on_command: Callable[[bytes], None],
    ) -> None:
        self.unacknowledged = 0
        self.is_online = False
        self.is_refused = False
        self._tenant, self._uid = tenant, uid
        self._broker = broker
        self._schedule = schedule
        self._heard_online, self._heard_command = on_online, on_command
        self._commands = self._topic("commands")
        self._session = ""
        self._failures = 0
        self._client = self._make_client()

    def _topic(self, kind: str) -> str:
        return topics.build(self._tenant, self._uid, kind)

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self._uid,
            # The broker keeps what comes for the device while it is away.
            clean_session=False,
            protocol=paho.MQTTv311,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            client.tls_set(ca_certs=self._broker.ca or None)
        client.max_queued_messages_set(QUEUED_MESSAGES)
        client.on_pre_connect = self._begin_session
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def open(self) -> None:
        """Connects, and connects again whenever it has to, until `close()`."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEP_ALIVE_SECONDS)
        self._client.loop_start()

    def close(self) -> None:
        self.is_online = False
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, kind: str, body: bytes, *, retain: bool = False) -> None:
        self.unacknowledged += 1
        # While there is no connection this queues.
        sent = self._client.publish(self._topic(kind), body, qos=1, retain=retain)
        if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
            logger.warning("%s: too many messages wait for the broker; one is lost.", self._uid)
            self._acknowledged()

    def say_offline(self, reason: str) -> None:
        self.publish("status", self._status_body("offline", reason=reason), retain=True)

    def _say_online(self, session: str) -> None:
        if session == self._session:
            self.publish("status", self._status_body("online"), retain=True)
            self.is_online = True
            self._heard_online()

    def _status_body(self, state: str, **more: str) -> bytes:
        return json.dumps({"state": state, "session": self._session, **more}).encode()

    def _acknowledged(self) -> None:
        self.unacknowledged -= 1

    def _lost(self) -> None:
        self.is_online = False

    # In the threads of paho from here on: they hand over what they hear.

    def _begin_session(self, *_: Any) -> None:
        # An id for each connection: a Will that comes late is not taken for the end of the next.
        self._session = uuid.uuid4().hex[:12]
        will = self._status_body("offline", reason="connection lost")
        self._client.will_set(self._topic("status"), will, qos=1, retain=True)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        if reason.is_failure:
            self._note_refusal(reason)
            return
        logger.info("%s: connected.", self._uid)
        self._failures, self.is_refused = 0, False
        self._client.subscribe(self._commands, qos=1)

    def _on_subscribe(
        self, _: Any, __: Any, ___: Any, reasons: list[ReasonCode], ____: Any
    ) -> None:
        if reasons[0].is_failure:
            logger.warning("%s: the broker refuses %s: %s.", self._uid, self._commands, reasons[0])
        # Not before: at “online” the platform publishes what waits, and a broker that knows of no
        # subscription yet throws it away.
        self._schedule.after(0, partial(self._say_online, self._session))

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        # Acknowledged as soon as this returns. That is no promise to anybody: what the device
        # forgets before it has replied is published again when it is online in its next session.
        self._schedule.after(0, partial(self._heard_command, bytes(message.payload)))

    def _on_publish(self, *_: Any) -> None:
        self._schedule.after(0, self._acknowledged)

    def _note_refusal(self, reason: ReasonCode) -> None:
        if not self.is_refused:
            advice = WITH_TOKEN if self._broker.username else WITHOUT_TOKEN
            logger.warning(REFUSED, self._uid, reason, advice)
        self.is_refused = True

    def _on_connect_fail(self, *_: Any) -> None:
        broker = self._broker
        logger.warning("%s: no connection to %s, port %d.", self._uid, broker.host, broker.port)
        self._pause()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        self._schedule.after(0, self._lost)
        if reason.is_failure:
            if not self.is_refused:
                logger.warning("%s: connection lost: %s.", self._uid, reason)
            self._pause()

    def _pause(self) -> None:
        """Have paho wait before it connects again: for a random time, longer each time, so that a
        fleet does not come back all at once."""
        seconds: Any = pause(self._failures, random.random())
        # Both ends: paho's own would double, without chance.
        self._client.reconnect_delay_set(seconds, seconds)
        self._failures += 1


def pause(failures: int, chance: float) -> float:
    """Seconds until the next attempt, after so many `failures` in a row; `chance` is 0 to 1."""
    return chance * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 30))
