"""What the processes hold: memory, files and threads, every few seconds, and whether it grows."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import linear_regression, mean
from typing import NamedTuple

import psutil

from benchmarks.soak.ground import Ground

POSTGRES = "PostgreSQL, what its processes have for themselves"
# What one process may hold more at the end of the second half than at its beginning, by the fit.
# The allocator takes memory by the megabyte, and PostgreSQL's processes come and go with clients.
GROWTH_SHARE = 0.05
GROWTH_SHARE_OF_POSTGRES = 0.2
GROWTH_BYTES = 5e6
# Of fewer samples nothing can be said.
FEWEST = 4


class Sample(NamedTuple):
    """Seconds since the start; bytes; numbers of file descriptors and threads."""

    at: float
    memory: int
    files: int
    threads: int


class Family(NamedTuple):
    """One process, or a server whose children come and go with its clients."""

    process: psutil.Process
    with_children: bool = False

    def sample(self, at: float) -> Sample:
        """Resident memory; of a whole server what its processes have for themselves alone."""
        if not self.with_children:
            with self.process.oneshot():
                memory = self.process.memory_info().rss
                return Sample(at, memory, self.process.num_fds(), self.process.num_threads())
        everybody = [self.process, *self.process.children()]
        return Sample(at, sum(map(own_memory, everybody)), 0, len(everybody))


def own_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0


class Watch:
    """Looks at all processes of `ground`."""

    def __init__(self, ground: Ground) -> None:
        self.families = families(ground)
        self.samples: dict[str, list[Sample]] = {name: [] for name in self.families}
        self._started = time.monotonic()

    def look(self) -> None:
        """Of one that has ended nothing is added; `ended` names it at the end."""
        at = time.monotonic() - self._started
        for name, family in self.families.items():
            with suppress(psutil.NoSuchProcess):
                self.samples[name].append(family.sample(at))

    def ended(self) -> list[str]:
        """Those that are gone, whether another one took their place or not."""
        return [name for name, each in self.families.items() if not each.process.is_running()]


def families(ground: Ground) -> dict[str, Family]:
    broker = ground.bench.broker.process
    assert broker
    found = {}
    for name, process in ground.processes.items():
        found[name] = Family(process.popen)
        workers = sorted(process.popen.children(), key=lambda each: each.pid)
        found |= {f"{name}, worker {n}": Family(each) for n, each in enumerate(workers, 1)}
    return found | {
        "Mosquitto": Family(psutil.Process(broker.pid)),
        POSTGRES: Family(psutil.Process(ground.bench.postmaster), with_children=True),
    }


class Trend(NamedTuple):
    """Bytes after a third, two thirds and at the end, each the mean of some samples; the slope of
    the second half in bytes an hour, and what that is over the half."""

    third: float
    two_thirds: float
    end: float
    slope: float
    grown: float

    def is_flat(self, name: str) -> bool:
        share = GROWTH_SHARE_OF_POSTGRES if name == POSTGRES else GROWTH_SHARE
        return self.grown <= max(GROWTH_BYTES, share * self.end)


def trend(samples: Sequence[Sample]) -> Trend:
    half = samples[len(samples) // 2 :]
    slope = linear_regression([s.at for s in half], [s.memory for s in half]).slope
    places = (len(samples) // 3, 2 * len(samples) // 3, len(samples) - 1)
    third, two_thirds, end = (
        mean(each.memory for each in samples[max(0, place - 1) : place + 2]) for place in places
    )
    return Trend(third, two_thirds, end, slope * 3_600, slope * (half[-1].at - half[0].at))


def rows(samples: Mapping[str, Sequence[Sample]]) -> list[list[str]]:
    """For a table: memory in MB, files and threads at the middle and the end."""
    lines = []
    for name, taken in samples.items():
        if len(taken) < FEWEST:
            continue
        found, middle, end = trend(taken), taken[len(taken) // 2], taken[-1]
        lines.append([
            name,
            *(f"{memory / 1e6:.1f}" for memory in (found.third, found.two_thirds, found.end)),
            f"{found.slope / 1e6:+.1f}",
            f"{middle.files} → {end.files}" if end.files else "",
            f"{middle.threads} → {end.threads}" + " processes" * (name == POSTGRES),
        ])  # fmt: skip
    return lines


HEAD = ("process", "MB at 1/3", "at 2/3", "at the end", "MB an hour", "files", "threads")
