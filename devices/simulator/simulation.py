"""A fleet of simulated devices, from its start to its end."""

import time
from collections.abc import Mapping, Sequence

from devices.simulator.device import Faults, SimulatedDevice
from devices.simulator.link import Broker
from devices.simulator.schedule import Schedule

ACKNOWLEDGE_SECONDS = 30
GOODBYE_SECONDS = 5


def uids_of(prefix: str, count: int) -> list[str]:
    """With the prefix `dev` they are `dev-01`, `dev-02` …"""
    return [f"{prefix}-{number:02}" for number in range(1, count + 1)]


class Simulation:
    """Devices that each send a message every `interval` seconds.

    Those with a token (by uid) connect with it, the others as `broker` says.
    """

    def __init__(
        self,
        tenant: str,
        uids: Sequence[str],
        broker: Broker,
        *,
        interval: float,
        faults: Faults,
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self._interval = interval
        self._is_stopping = False
        self._schedule = Schedule()
        brokers = {uid: broker.with_token(uid, token) for uid, token in (tokens or {}).items()}
        self._devices = [
            SimulatedDevice(
                tenant, uid, brokers.get(uid, broker), faults, self._schedule, interval=interval
            )
            for uid in uids
        ]

    def stop(self) -> None:
        """Lets `run` come to its end; may be called from a signal handler."""
        self._is_stopping = True
        self._schedule.after(0, lambda: None)

    def run(self, count: int | None = None) -> int:
        """Sends until told to stop, or `count` messages a device and waits for the broker then.

        Returns how many messages the broker has not acknowledged.
        """
        started, step = time.monotonic(), self._interval / len(self._devices)
        for number, device in enumerate(self._devices):
            device.start(started + number * step, count)
        try:
            self._schedule.run(lambda: self._is_stopping or self._have_sent_all())
            self._schedule.run(
                lambda: self._is_stopping or self._are_settled(), ACKNOWLEDGE_SECONDS
            )
        finally:
            missing = self._leave()
        return missing

    def _have_sent_all(self) -> bool:
        return all(device.has_sent_all for device in self._devices)

    def _are_settled(self) -> bool:
        return all(device.is_settled for device in self._devices)

    def _leave(self) -> int:
        for device in self._devices:
            device.stop()
        self._schedule.run(
            lambda: not any(device.can_settle for device in self._devices), GOODBYE_SECONDS
        )
        for device in self._devices:
            device.disconnect()
        return self._count_missing()

    def _count_missing(self) -> int:
        return sum(device.unacknowledged for device in self._devices)
