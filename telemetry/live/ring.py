"""What was sent in the last minutes, so that who comes back misses nothing."""

import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a stream may be about."""

    DEVICE = "readings of a device"
    COMMANDS_OF_DEVICE = "commands of a device"
    COMMANDS_OF_TENANT = "commands of a tenant"
    ALL_COMMANDS = "commands of all tenants"


class Subject(NamedTuple):
    """Something to follow: a device or a tenant by its id, or with 0 all there is."""

    kind: Kind
    id: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for whoever follows one of `subjects` and may see the tenant.

    Without a tenant it says nothing of anybody, and everybody may see it.
    """

    name: str
    data: str
    subjects: frozenset[Subject]
    tenant_id: int | None = None

    @property
    def is_reset(self) -> bool:
        return self.name == RESET

    def text(self, place: str) -> bytes:
        """As it is sent, with its id."""
        data = self.data.replace("\n", "\ndata: ")
        return f"id: {place}\nevent: {self.name}\ndata: {data}\n\n".encode()


RESET = "reset"
"""Something was missed: load anew."""


def reset(*subjects: Subject) -> Event:
    return Event(RESET, "{}", frozenset(subjects))


class Sent(NamedTuple):
    """An event in its place, as text."""

    number: int
    event: Event
    text: bytes


class Ring:
    """The events of the last `seconds`, fewer where they are more than `size` bytes together.

    Numbers go on from 1; `newest` is the last one that was given.
    """

    def __init__(self, name: str, seconds: float, size: int) -> None:
        self.name = name
        self.newest = 0
        self._seconds = seconds
        self._size = size
        self._kept: deque[tuple[float, Sent]] = deque()
        self._bytes = 0

    def add(self, event: Event) -> Sent:
        """Give it the next place."""
        self.newest += 1
        sent = Sent(self.newest, event, event.text(self.place(self.newest)))
        self._kept.append((time.monotonic(), sent))
        self._bytes += len(sent.text)
        self._drop()
        return sent

    def place(self, number: int) -> str:
        """What a client calls the place of `number`."""
        return f"{self.name}-{number}"

    def number_in(self, place: str) -> int | None:
        """The number of a place, if it is one of this ring."""
        name, _, number = place.rpartition("-")
        is_ours = name == self.name and number.isascii() and number.isdigit()
        return int(number) if is_ours and len(number) < 19 and int(number) <= self.newest else None

    def after(self, number: int) -> list[Sent] | None:
        """All events after that of `number`; None if some are not there any more."""
        self._drop()
        oldest = self._kept[0][1].number if self._kept else self.newest + 1
        if number + 1 < oldest:
            return None
        return [sent for _, sent in self._kept if sent.number > number]

    def _drop(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._kept and (self._kept[0][0] < oldest or self._bytes > self._size):
            _, sent = self._kept.popleft()
            self._bytes -= len(sent.text)
