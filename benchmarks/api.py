"""The REST API beside that of the service before: the two reads that apps repeat all day."""

import argparse
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks import load, service
from benchmarks.bench import Bench, print_table
from benchmarks.drain import print_ratio
from benchmarks.fleet import History, fill, fill_baseline, history
from benchmarks.process import Process, cpu_seconds
from benchmarks.service import Service

QUICK = ("--rounds=1", "--seconds=2")

DEVICES = 100
RECORDS = 100
HEAD = ("requests/s", "p50 ms", "p99 ms", "server µs", "database µs")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.api", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--seconds", type=float, default=8, help="of each run (8)")
    parser.add_argument("--connections", type=int, default=8, help="that stay open (8)")
    parser.add_argument("--readings", type=int, default=1_000, help="of each device (1000)")
    parser.add_argument("--baseline", type=Path, help="directory of the service before")
    parser.add_argument("--baseline-python", help="a Python with that service's requirements")
    return parser.parse_args(arguments)


class Run(NamedTuple):
    """Requests a second; latencies in seconds; seconds of CPU a request; requests in all."""

    rate: float
    median: float
    p99: float
    server: float
    database: float
    answered: int


class Side:
    """One of the services, running, with a token."""

    def __init__(self, bench: Bench, web: Service, process: Process) -> None:
        self.name = web.name
        self._web = web
        self._process = process
        self._postmaster = psutil.Process(bench.postmaster)
        self._token = web.log_in()

    def request(self, path: str, count: int) -> load.Request:
        """GET `path`, once it was seen to answer with `count` objects."""
        answer = self._web.get(path, self._token)
        found = json.loads(answer)
        if len(found) != count or not all(isinstance(each, dict) for each in found):
            raise RuntimeError(f"{path} of {self.name} has {len(found)} objects, not {count}.")
        return load.get(path, self._token, len(answer))

    def run(self, requests: Sequence[load.Request], connections: int, seconds: float) -> Run:
        server, database = self._process.cpu_seconds(), self._database_seconds()
        seen = load.measure(self._web.port, requests, connections, seconds)
        return Run(
            seen.rate,
            seen.median,
            seen.p99,
            (self._process.cpu_seconds() - server) / seen.answered,
            (self._database_seconds() - database) / seen.answered,
            seen.answered,
        )

    def _database_seconds(self) -> float:
        # Also what ended backends took: a pool that overflows ends some all the time.
        ended = self._postmaster.cpu_times()
        running = sum(map(cpu_seconds, self._postmaster.children()))
        return float(ended.children_user + ended.children_system + running)


def run(options: argparse.Namespace) -> None:
    made = history(DEVICES, options.readings, timedelta(minutes=1))
    with Bench() as bench, ExitStack() as stack:
        print(bench.describe())
        sides = start(bench, stack, made, options)
        for title, paths, count in (
            (
                "GET /telemetry/{uid}",
                [f"/telemetry/{made.uid(n)}" for n in range(DEVICES)],
                RECORDS,
            ),
            ("GET /devices", ["/devices"], DEVICES),
        ):
            requests = [[side.request(path, count) for path in paths] for side in sides]
            rounds = [
                [
                    side.run(own, options.connections, options.seconds)
                    for side, own in zip(sides, requests, strict=True)
                ]
                for _ in range(options.rounds)
            ]
            report(f"{title}, {count} objects, {options.connections} connections", sides, rounds)


def start(bench: Bench, stack: ExitStack, made: History, options: argparse.Namespace) -> list[Side]:
    """The service before, if there is one, and the platform: the same history in both."""
    sides = []
    if options.baseline and options.baseline_python:
        old = service.baseline(bench, "baseline", options.baseline, options.baseline_python)
        process = stack.enter_context(old.running())
        fill_baseline(bench, "baseline", made)
        sides.append(Side(bench, old, process))
    else:
        print("The service before is left out: give --baseline and --baseline-python.")
    bench.create_database("platform")
    fill(bench, "platform", made)
    new = service.platform(bench, "platform")
    sides.append(Side(bench, new, stack.enter_context(new.running())))
    return sides


def report(title: str, sides: Sequence[Side], rounds: Sequence[Sequence[Run]]) -> None:
    lines = [
        [side.name, *cells(runs)]
        for side, runs in zip(sides, zip(*rounds, strict=True), strict=True)
    ]
    print_table(f"{title} (medians; costs are a request's)", ("", *HEAD), lines)
    if len(sides) > 1:
        print_ratio("requests/s, platform / before", [new.rate / old.rate for old, new in rounds])
        print_ratio("p99, platform / before", [new.p99 / old.p99 for old, new in rounds])


def cells(runs: Sequence[Run]) -> list[str]:
    median = Run(*map(statistics.median, zip(*runs, strict=True)))
    latencies = (f"{1e3 * each:.1f}" for each in (median.median, median.p99))
    costs = (f"{1e6 * each:,.0f}" for each in (median.server, median.database))
    return [f"{median.rate:,.0f}", *latencies, *costs]


if __name__ == "__main__":
    run(parse())
