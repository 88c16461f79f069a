"""Drain of a queued backlog: the service before, the platform, and plain COPY as the ceiling."""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks.bench import Bench, print_table
from benchmarks.drain import HEAD, Drain, Drainer, baseline, cells, ours, print_ratio
from benchmarks.publisher import readings

QUICK = ("--messages=20000", "--rounds=1", "--baseline-messages=500")

BATCH = 8_000
TABLE = """
CREATE TABLE copied (LIKE telemetry_telemetry INCLUDING ALL) PARTITION BY RANGE (ts);
CREATE TABLE copied_now PARTITION OF copied FOR VALUES FROM ('2020-01-01') TO ('2120-01-01')
"""
COPY = "COPY copied (device_id, ts, msg_id, received_at, payload) FROM STDIN (FORMAT BINARY)"
TYPES = ("int8", "timestamptz", "varchar", "timestamptz", "jsonb")

Row = tuple[int, datetime, str, datetime, str]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="backlog (200000)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--baseline", type=Path, help="directory of the service before")
    parser.add_argument("--baseline-python", help="a Python with that service's requirements")
    parser.add_argument(
        "--baseline-messages", type=int, default=3_000, help="its backlog, as it is slow (3000)"
    )
    return parser.parse_args(arguments)


class Round(NamedTuple):
    """One run of each side, close in time."""

    baseline: Drain | None
    platform: Drain
    ceiling: float


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        platform = Drainer(bench, ours(bench, "platform"))
        old = None
        if options.baseline and options.baseline_python:
            side = baseline(bench, options.baseline, options.baseline_python)
            old = Drainer(bench, side)
        else:
            print("The service before is left out: give --baseline and --baseline-python.")
        ceiling = Ceiling(platform.connection)
        rounds = []
        for _ in range(options.rounds):
            platform.empty()
            rounds.append(
                Round(
                    old.run(options.baseline_messages) if old else None,
                    platform.run(options.messages),
                    ceiling.rate(options.messages),
                )
            )
    report(rounds)


class Ceiling:
    """Binary COPY of the same rows into a table of the same shape, and nothing else."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(TABLE)

    def rate(self, count: int) -> float:
        """Rows a second, committed in batches of the platform's size."""
        everything = list(rows(count))
        self._connection.execute("TRUNCATE copied")
        self._connection.execute("CHECKPOINT")
        started = time.perf_counter()
        for start in range(0, count, BATCH):
            with self._connection.cursor().copy(COPY) as copy:
                copy.set_types(TYPES)
                for row in everything[start : start + BATCH]:
                    copy.write_row(row)
        return count / (time.perf_counter() - started)


def rows(count: int) -> Iterator[Row]:
    """What the platform makes of `count` readings."""
    devices: dict[str, int] = {}
    for topic, payload in readings(count):
        said = json.loads(payload)
        device = devices.setdefault(topic, len(devices) + 1)
        ts = datetime.fromtimestamp(said["ts"], UTC)
        yield device, ts, said["msg_id"], datetime.now(UTC), payload.decode()


def report(rounds: list[Round]) -> None:
    old = [each.baseline for each in rounds if each.baseline]
    lines = [["the service before", *cells(old)]] if old else []
    lines.append(["platform", *cells([each.platform for each in rounds])])
    ceiling = statistics.median(each.ceiling for each in rounds)
    lines.append(["COPY alone", f"{ceiling:,.0f}", *[""] * (len(HEAD) - 1)])
    print_table("Drain of a backlog (medians; costs are a message's)", ("", *HEAD), lines)
    if old:
        ratios = [each.platform.rate / each.baseline.rate for each in rounds if each.baseline]
        print_ratio("platform / the service before", ratios)
    print_ratio("platform / COPY alone", [each.platform.rate / each.ceiling for each in rounds])


if __name__ == "__main__":
    run(parse())
