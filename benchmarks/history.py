"""Reads of a long history: the newest readings, a series of millions, exports of any size."""

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks import service
from benchmarks.api import HEAD, RECORDS, Run, Side, cells
from benchmarks.bench import Bench, print_table
from benchmarks.drain import print_ratio
from benchmarks.fleet import WEEKS, History, fill, history
from benchmarks.service import Service

QUICK = ("--rounds=1", "--seconds=1", "--rows=200000", "--days=1", "--export=80000")

# (devices, readings of each) that make ten thousand.
FEW = (50, 200)
MANY_DEVICES = 1_000
EVERY = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
SIZE = """
SELECT pg_size_pretty(sum(pg_total_relation_size(relid)))
FROM pg_partition_tree('telemetry_telemetry')
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.history", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--seconds", type=float, default=5, help="of each run (5)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="in the table (10000000)")
    parser.add_argument("--days", type=int, default=30, help="of a reading a second (30)")
    parser.add_argument("--devices", type=int, default=20, help="that send them (20)")
    parser.add_argument(
        "--export", type=int, default=2_000_000, help="readings, of --days (2000000)"
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        measure_newest(bench, options)
    with Bench() as bench:
        made = history(options.devices, options.days * DAY // SECOND, SECOND)
        web = filled(bench, "platform", made)
        with web.running():
            token = web.log_in()
            measure_series(web, token, made, options.rounds)
        measure_exports(web, token, made, options.export)


def filled(bench: Bench, database: str, made: History) -> Service:
    """The platform on a database with that history."""
    started = time.perf_counter()
    bench.create_database(database)
    fill(bench, database, made)
    with bench.connect(database) as connection:
        row = connection.execute(SIZE).fetchone()
    assert row
    print(
        f"{made.rows:,} readings of {made.devices:,} devices, {row[0]}, "
        f"made in {time.perf_counter() - started:.0f} s"
    )
    return service.platform(bench, database)


def measure_newest(bench: Bench, options: argparse.Namespace) -> None:
    """As dense in both: a reading an hour of each device, over more devices and further back."""
    few = history(*FEW, EVERY)
    many = history(MANY_DEVICES, options.rows // MANY_DEVICES, EVERY)
    with ExitStack() as stack:
        sides = []
        for name, made in (("few", few), ("many", many)):
            web = filled(bench, name, made)
            sides.append(Side(bench, web, stack.enter_context(web.running())))
        paths = [f"/telemetry/{few.uid(number)}" for number in range(few.devices)]
        requests = [[side.request(path, RECORDS) for path in paths] for side in sides]
        rounds = [
            [side.run(own, 1, options.seconds) for side, own in zip(sides, requests, strict=True)]
            for _ in range(options.rounds)
        ]
    report_newest((few, many), rounds)


def report_newest(histories: Sequence[History], rounds: Sequence[Sequence[Run]]) -> None:
    lines = [
        [f"{made.rows:,} rows", *cells(runs)]
        for made, runs in zip(histories, zip(*rounds, strict=True), strict=True)
    ]
    title = f"GET /telemetry/{{uid}}, {RECORDS} newest, {WEEKS + 1} partitions, 1 connection"
    print_table(f"{title} (medians)", ("table", *HEAD), lines)
    print_ratio("p50, many rows / few", [many.median / few.median for few, many in rounds])
    print_ratio("database µs, many / few", [many.database / few.database for few, many in rounds])


def measure_series(web: Service, token: str, made: History, rounds: int) -> None:
    """One after the other for different devices, so that not the last answer's pages are warm."""
    span = {"from": made.start.isoformat(), "to": (made.end + SECOND).isoformat()}
    lines = []
    for keys, aggregates in (("temperature", "avg"), ("temperature,humidity", "avg,min,max")):
        query = urlencode({"keys": keys, "agg": aggregates, **span})
        seconds = []
        for number in range(rounds):
            started = time.perf_counter()
            web.get(f"/telemetry/{made.uid(number % made.devices)}/series?{query}", token)
            seconds.append(time.perf_counter() - started)
        figures = (seconds[0], statistics.median(seconds), max(seconds))
        lines.append([f"{aggregates} of {keys}", *(f"{figure:.2f}" for figure in figures)])
    title = f"GET /telemetry/{{uid}}/series, {made.each:,} readings among {made.rows:,}"
    print_table(title, ("", "first s", "median s", "worst s"), lines)


class Export(NamedTuple):
    """Rows a second and the most memory the server ever held, in bytes."""

    rows: int
    rate: float
    peak: int


def measure_exports(web: Service, token: str, made: History, rows: int) -> None:
    lines = []
    for kind in ("csv", "ndjson"):
        for count in (1, rows // 20, rows):
            done = export(web, token, made, kind, count)
            lines.append(
                [f"{kind}, {done.rows:,} rows", f"{done.rate:,.0f}", f"{done.peak / 1e6:.0f}"]
            )
    print_table("GET /telemetry/{uid}/export", ("", "rows/s", "server's peak MB"), lines)


def export(web: Service, token: str, made: History, kind: str, count: int) -> Export:
    """The last `count` readings of one device, from a server that did nothing else.

    Not even a login, which takes more memory than most.
    """
    end = made.end + SECOND
    start = end - count * SECOND
    query = urlencode({"as": kind, "from": start.isoformat(), "to": end.isoformat()})
    with web.running() as process:
        # The socket is there before the worker is.
        web.get("/devices", token)
        started = time.perf_counter()
        lines = web.count_lines(f"/telemetry/{made.uid(0)}/export?{query}", token)
        seconds = time.perf_counter() - started
        rows = lines - (kind == "csv")
        if rows != count:
            raise RuntimeError(f"{rows:,} readings came instead of {count:,}.")
        return Export(rows, rows / seconds, process.peak_bytes())


if __name__ == "__main__":
    run(parse())
