"""A fleet of simulated devices, from its start to its end."""

import time

from devices.simulator.device import Faults, SimulatedDevice
from devices.simulator.link import Broker
from devices.simulator.schedule import Schedule

ACKNOWLEDGE_SECONDS = 30
GOODBYE_SECONDS = 5


class Simulation:
    """Devices that each send a message every `interval` seconds: with the prefix `dev` they are
    `dev-01`, `dev-02` …"""

    def __init__(
        self,
        tenant: str,
        devices: int,
        broker: Broker,
        *,
        interval: float,
        faults: Faults,
        prefix: str = "dev",
    ) -> None:
        self._interval = interval
        self._is_stopping = False
        self._schedule = Schedule()
        self._devices = [
            SimulatedDevice(tenant, uid, broker, faults, self._schedule, interval=interval)
            for uid in (f"{prefix}-{number:02}" for number in range(1, devices + 1))
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
        self._schedule.run(lambda: not self._count_missing(), GOODBYE_SECONDS)
        for device in self._devices:
            device.disconnect()
        return self._count_missing()

    def _count_missing(self) -> int:
        return sum(device.unacknowledged for device in self._devices)
