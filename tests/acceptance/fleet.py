"""Devices that obey commands, and the judge: what they received and did, held against the rows."""

import json
import socket
import threading
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from accounts.models import Tenant
from devices.commands.sending import LIFE, Order, send_to_many
from devices.models import Command, CommandStatus, Device
from tests.acceptance.ledger import wait_until

KEEP_SECONDS = 3600
STEPS = list(CommandStatus)
"""In the order in which a command may come to them."""


class Arrival(NamedTuple):
    """A message that a device received on its topic for commands."""

    uid: str
    id: str
    n: int


class Findings(NamedTuple):
    """What is wrong. All empty: every command was obeyed, and it is known.

    The last are told wrongly: steps that go back, or an end that is not the device's word.
    """

    lost: list[str]
    doubled: list[tuple[str, int]]
    disordered: list[str]
    wrong: list[str]


OBEYED = Findings([], [], [], [])


class Fleet:
    """The devices of a tenant, for which one connection to the broker speaks, as a gateway does.

    They remember over all connections which commands they have executed, by id: a new one is
    executed, a known one only answered again, the same way. `received` is everything in the order
    of arrival, `executed` the numbers that the commands carry. Without `obeys` they take commands
    and do nothing. With `tells` they say that they are online, and a fleet of one device leaves a
    Last Will. paho-mqtt shares no code with the platform's session.
    """

    def __init__(
        self,
        port: int,
        tenant: Tenant,
        *,
        protocol: int = paho.MQTTv5,
        keeps_session: bool = True,
        tells: bool = False,
    ) -> None:
        self.tenant = tenant
        self.devices = Device.objects.filter(tenant=tenant).order_by("pk")
        self.uids = [device.device_uid for device in self.devices]
        self.received: list[Arrival] = []
        self.executed: list[tuple[str, int]] = []
        self.obeys = True
        self._port = port
        self._protocol = protocol
        self._keeps_session = keeps_session
        self._tells = tells
        self._name = uuid.uuid4().hex
        self._answers: dict[str, dict[str, Any]] = {}
        self._sent = 0
        self._subscribed = threading.Event()
        self._client: paho.Client | None = None

    @property
    def commands(self) -> list[Command]:
        """Theirs, in the order in which they were accepted."""
        mine = Command.objects.filter(tenant=self.tenant)
        return list(mine.order_by("number").prefetch_related("transitions"))

    def send(self, rounds: int = 1, life: timedelta = LIFE) -> list[Command]:
        """Queues so many commands to each device, each with the next number."""
        for _ in range(rounds):
            order = Order("count", {"n": self._sent}, life)
            send_to_many(order, self.devices, self.tenant, {"all": True}, None)
            self._sent += 1
        return self.commands[-rounds * len(self.uids) :]

    def connect(self) -> None:
        """Begins a connection; returns once the broker has the subscriptions."""
        self._subscribed.clear()
        self._client = client = self._new_client()
        client.on_pre_connect = self._begin_session
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", self._port, **self._connect_options())
        client.loop_start()
        assert self._subscribed.wait(10)

    def leave(self) -> None:
        """Takes leave of the broker, which keeps the session."""
        if self._client:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def die(self) -> None:
        """The connection breaks, and nobody makes it again."""
        if self._client:
            if connection := self._client.socket():
                connection.shutdown(socket.SHUT_RDWR)
            self._client.loop_stop()
            self._client = None

    def reply(self, uid: str, command_id: str, status: str, **more: Any) -> None:
        """Says something about a command as `uid`; returns once the broker has it."""
        self.say(uid, "replies", {"id": command_id, "status": status, **more})

    def say(self, uid: str, kind: str, body: dict[str, Any]) -> None:
        """Publishes anything as `uid`; returns once the broker has it."""
        self._publish(uid, kind, body).wait_for_publish(10)

    def wait_for(self, arrivals: int) -> None:
        wait_until(lambda: len(self.received) >= arrivals, f"{arrivals} commands at the devices")

    def wait_until_done(self, seconds: float = 60) -> None:
        """Returns once all commands have come to an end, with all devices obeying."""
        mine = Command.objects.filter(tenant=self.tenant)
        wait_until(lambda: not mine.open().exists(), "an end of all commands", seconds)

    def findings(self) -> Findings:
        """Compares with the commands that are known of, all of which should have been obeyed."""
        commands, uids = self.commands, dict(self.devices.values_list("pk", "device_uid"))
        arrived = {each.id for each in self.received}
        accepted = [(uids[each.device_id], str(each.id)) for each in commands]
        first = dict.fromkeys((each.uid, each.id) for each in self.received)
        return Findings(
            lost=[str(each.id) for each in commands if str(each.id) not in arrived],
            doubled=[key for key, count in Counter(self.executed).items() if count > 1],
            disordered=[
                uid
                for uid in self.uids
                if [each for each in first if each[0] == uid]
                != [each for each in accepted if each[0] == uid and each[1] in arrived]
            ],
            wrong=[str(each.id) for each in commands if not is_told_well(each)],
        )

    def _new_client(self) -> paho.Client:
        clean = None if self._protocol == paho.MQTTv5 else not self._keeps_session
        return paho.Client(
            paho.CallbackAPIVersion.VERSION2, self._name, clean, protocol=self._protocol
        )

    def _connect_options(self) -> dict[str, Any]:
        if self._protocol != paho.MQTTv5:
            return {}
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = KEEP_SECONDS if self._keeps_session else 0
        return {"clean_start": not self._keeps_session, "properties": properties}

    def _begin_session(self, client: paho.Client, _: Any) -> None:
        session = uuid.uuid4().hex
        client.user_data_set(session)
        if self._tells and len(self.uids) == 1:
            will = json.dumps({"state": "offline", "session": session, "reason": "gone"})
            client.will_set(self._topic(self.uids[0], "status"), will, qos=1, retain=True)

    def _on_connect(self, client: paho.Client, session: str, *_: Any) -> None:
        client.subscribe([(self._topic(uid, "commands"), self._quality()) for uid in self.uids])
        if self._tells:
            for uid in self.uids:
                self._publish(uid, "status", {"state": "online", "session": session}, retain=True)

    def _quality(self) -> Any:
        return SubscribeOptions(qos=1) if self._protocol == paho.MQTTv5 else 1

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        uid, number = message.topic.split("/")[2], body["params"]["n"]
        self.received.append(Arrival(uid, body["id"], number))
        if not self.obeys:
            return
        if body["id"] not in self._answers:
            self.executed.append((uid, number))
            self._answers[body["id"]] = {"id": body["id"], "status": "ok", "result": number}
        self._publish(uid, "replies", self._answers[body["id"]])

    def _publish(
        self, uid: str, kind: str, body: dict[str, Any], *, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        assert self._client
        topic = self._topic(uid, kind)
        return self._client.publish(topic, json.dumps(body), qos=1, retain=retain)

    def _topic(self, uid: str, kind: str) -> str:
        return f"{self.tenant.slug}/devices/{uid}/{kind}"


def is_told_well(command: Command) -> bool:
    """Whether its steps lead forward, once to its end, and its result is what its device said."""
    steps = [STEPS.index(step.status) for step in command.transitions.all()]
    ends = steps.count(STEPS.index(CommandStatus.SUCCEEDED))
    is_done = command.status == CommandStatus.SUCCEEDED and command.result == command.params["n"]
    return is_done and ends == 1 and steps == sorted(steps)
