"""What ingest tells who listens on `telemetry`: who was heard, and where the new readings are.

A payload is “FIRST-LAST DEVICE:LO+SPAN,DEVICE,DEVICE”. FIRST and LAST are the ids of readings
between which the new ones lie, and left out with their blank where there are none. Of each device
by its id in the database: between which moments its new readings lie, LO and LO + SPAN in
microseconds since the Unix epoch, if it has any. A reading that lies there may still be an old one,
or another ingestor's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from psycopg import Cursor

CHANNEL = "telemetry"
# PostgreSQL takes less than 8,000 bytes.
LIMIT = 7_900
TELL = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) AS payload"

Ids = tuple[int, int]


class Span(NamedTuple):
    """From one moment to another, both included; microseconds since the Unix epoch."""

    start: int
    end: int

    def with_(self, other: "Span") -> "Span":
        return Span(min(self.start, other.start), max(self.end, other.end))


Heard = Mapping[int, tuple[int, int] | None]


def tell(cursor: Cursor[Any], heard: Heard, ids: Ids | None) -> None:
    """Say it with the transaction; `heard` has the span of the new readings of each device."""
    cursor.execute(TELL, [list(payloads(heard, ids))])


def payloads(heard: Heard, ids: Ids | None) -> Iterator[str]:
    """About as few as PostgreSQL's limit allows."""
    head = f"{ids[0]}-{ids[1]} " if ids else ""
    parts = [
        f"{device_id}:{span[0]}+{span[1] - span[0]}" if span else str(device_id)
        for device_id, span in heard.items()
    ]
    # Optimization: they are nearly of one length, so nobody has to count.
    some = (LIMIT - len(head)) // (max(map(len, parts)) + 1)
    for start in range(0, len(parts), some):
        yield head + ",".join(parts[start : start + some])


class Told:
    """What `payloads` say together of the devices in `wanted`.

    Raises ValueError for what is no payload.
    """

    def __init__(self, payloads: Iterable[str], wanted: Collection[int]) -> None:
        self.devices: dict[int, Span | None] = {}
        self.ids: Ids | None = None
        self._wanted = wanted
        for payload in payloads:
            self._add(payload)

    def _add(self, payload: str) -> None:
        ids, _, devices = payload.rpartition(" ")
        if ids:
            first, last = map(int, ids.split("-"))
            self.ids = (
                min(first, self.ids[0] if self.ids else first),
                max(last, self.ids[1] if self.ids else last),
            )
        for part in devices.split(","):
            number, _, span = part.partition(":")
            device_id = int(number)
            if device_id in self._wanted:
                self._hear(device_id, _span(span) if span else None)

    def _hear(self, device_id: int, span: Span | None) -> None:
        known = self.devices.get(device_id)
        self.devices[device_id] = known.with_(span) if known and span else known or span


def _span(text: str) -> Span:
    start, _, length = text.partition("+")
    return Span(int(start), int(start) + int(length))
