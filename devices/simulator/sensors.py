"""What simulated devices measure, and messages that no platform can store."""

import math
import random

DAY_SECONDS = 86_400

# Each of them is rejected, for a reason of its own.
BAD_BODIES = (
    b'{"temperature": NaN}',
    b'{"temperature": "\xff\xfe"}',
    b'{"temperature": 21.5, "msg_id": ""}',
    b'{"text": "\\u0000"}',
    b"[" * 100 + b"]" * 100,
)


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
