"""A simulated device: it measures, sends, and obeys, with the faults that real ones have."""

import json
import logging
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from devices.simulator.commands import Obedience, number
from devices.simulator.link import Broker, Link
from devices.simulator.schedule import Schedule
from devices.simulator.sensors import BAD_BODIES, Sensors

logger = logging.getLogger(__name__)

LATE_SECONDS = 3_600
REBOOT_DELAY, LONGEST_DELAY = 0.2, 3_600.0
BOOT_SECONDS = 0.5
PATIENCE_SECONDS = 2.0
FAREWELL_SECONDS, POLL_SECONDS = 2.0, 0.02
SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.1, 86_400.0


@dataclass(frozen=True, slots=True)
class Faults:
    """How probable it is that a message is sent twice, comes an hour late, or cannot be stored,
    and that a command is not heard; how many seconds a device takes to begin with one, and
    whether it replies twice."""

    duplicates: float = 0.0
    late: float = 0.0
    bad: float = 0.0
    deaf: float = 0.0
    slow: float = 0.0
    answer_twice: bool = False


class SimulatedDevice:
    """A device with its own connection, its own pace, and a memory that outlives its reboots."""

    def __init__(
        self,
        tenant: str,
        uid: str,
        broker: Broker,
        faults: Faults,
        schedule: Schedule,
        *,
        interval: float,
    ) -> None:
        self._uid = uid
        self._faults = faults
        self._schedule = schedule
        self._interval = interval
        self._chance = random.Random()
        self._sensors = Sensors(self._chance)
        self._link = Link(
            tenant, uid, broker, schedule, on_online=self._come_online, on_command=self._hear
        )
        handlers = {"reboot": self._reboot, "set_interval": self._set_interval}
        self._obedience = Obedience(uid, handlers, self._publish_reply)
        self._left: int | None = None
        self._plan_number = 0
        self._is_off = True
        self._is_stopped = False
        self._reboots: list[str] = []
        self._first = 0.0
        self._begin_numbers()

    def _begin_numbers(self) -> None:
        # Numbers begin again with every start, so the start is part of a message's id.
        self._boot = uuid.uuid4().hex[:8]
        self._sequence = 0
        self._measures = False

    def start(self, when: float, count: int | None) -> None:
        """Connects, and sends from the time `when` on: without end, or `count` messages."""
        self._left = count
        self._switch_on(when)

    def stop(self) -> None:
        """Says goodbye, and does nothing more."""
        if not self._is_off:
            self._link.say_offline("stopped")
        self._is_off = self._is_stopped = True

    def disconnect(self) -> None:
        self._link.close()

    @property
    def has_sent_all(self) -> bool:
        return self._left == 0

    @property
    def unacknowledged(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return self._link.unacknowledged

    @property
    def can_settle(self) -> bool:
        """Whether the broker may still acknowledge something: not while it refuses the device."""
        return self.unacknowledged > 0 and not self._link.is_refused

    @property
    def is_settled(self) -> bool:
        """Whether the broker knows all that there is to know."""
        return self._link.is_online and not self.unacknowledged

    def _switch_on(self, when: float) -> None:
        self._is_off = False
        self._first = when
        self._link.open()
        self._schedule.after(PATIENCE_SECONDS, partial(self._begin, self._boot))

    def _begin(self, boot: str) -> None:
        """Measures from now on, or from the time of the first message.

        Not before it is online, for who sends and is offline by its last word is doubted; but a
        broker that is away keeps nobody from measuring.
        """
        if boot == self._boot and not self._measures and not self._is_off:
            self._measures = True
            self._plan(max(self._first, time.monotonic()))

    def _plan(self, when: float) -> None:
        """The next message is sent at the time `when`; what was planned before is not."""
        self._plan_number += 1
        self._schedule.at(when, partial(self._send, when, self._plan_number))

    def _send(self, planned: float, plan_number: int) -> None:
        """Publishes one message, or what a fault makes of it, and plans the next."""
        if self._is_off or self.has_sent_all or plan_number != self._plan_number:
            return
        for body in self._messages(time.time()):
            self._link.publish("telemetry", body)
        if self._left is not None:
            self._left -= 1
        # At most one message behind: commands get their turn however fast the pace is.
        self._plan(max(planned + self._interval, time.monotonic() - self._interval))

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

    def _hear(self, body: bytes) -> None:
        if self._chance.random() < self._faults.deaf:
            logger.info("%s: did not hear a command.", self._uid)
            return
        self._schedule.after(self._faults.slow, partial(self._obey, body))

    def _obey(self, body: bytes) -> None:
        # What was not begun with when it went off is forgotten, and comes again as it is unheard.
        if not self._is_off:
            self._obedience.take(body)

    def _publish_reply(self, body: bytes) -> None:
        for _ in range(1 + self._faults.answer_twice):
            self._link.publish("replies", body)

    def _set_interval(self, command_id: str, params: dict[str, Any]) -> None:
        seconds = number(params, "seconds", SHORTEST_INTERVAL, LONGEST_INTERVAL)
        self._interval = seconds
        self._plan(time.monotonic() + seconds)
        self._obedience.reply(command_id, "ok", result={"interval": params["seconds"]})

    def _reboot(self, command_id: str, params: dict[str, Any]) -> None:
        delay = number({"delay": REBOOT_DELAY, **params}, "delay", 0, LONGEST_DELAY)
        self._obedience.reply(command_id, "accepted")
        self._schedule.after(delay, partial(self._go_off, command_id))

    def _go_off(self, command_id: str) -> None:
        self._reboots.append(command_id)
        if self._is_off:
            return
        self._link.say_offline("reboot")
        self._is_off = True
        self._disconnect_by(time.monotonic() + FAREWELL_SECONDS)

    def _disconnect_by(self, deadline: float) -> None:
        """Disconnects as soon as the broker has all that was said."""
        if self._is_stopped:
            return
        if self.unacknowledged and time.monotonic() < deadline:
            self._schedule.after(POLL_SECONDS, partial(self._disconnect_by, deadline))
            return
        self._link.close()
        self._schedule.after(BOOT_SECONDS, self._boot_up)

    def _boot_up(self) -> None:
        if not self._is_stopped:
            self._begin_numbers()
            self._switch_on(time.monotonic())

    def _come_online(self) -> None:
        """In the new session, those reboots that led to it are over."""
        self._begin(self._boot)
        for command_id in self._reboots:
            self._obedience.reply(command_id, "ok")
        self._reboots.clear()
