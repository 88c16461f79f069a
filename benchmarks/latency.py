"""How long after its publication a reading is committed, under a steady load and all alone."""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence

import psycopg

from benchmarks.bench import Bench, print_table
from benchmarks.drain import Drainer, ours
from benchmarks.publisher import DEVICES, Publisher

QUICK = ("--seconds=5", "--alone=5")

# One transaction a batch, and one notification a transaction, both in the order of the commits.
SENT = """
SELECT array_agg((payload ->> 'sent')::float8) FROM telemetry_telemetry
GROUP BY xmin ORDER BY xmin::text::bigint
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="messages a second (1000)")
    parser.add_argument("--seconds", type=int, default=20, help="for how long (20)")
    parser.add_argument("--alone", type=int, default=20, help="lone messages, one a second (20)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        drainer = Drainer(bench, ours(bench, "platform"))
        with drainer.process():
            # The process starts and makes its connections.
            measure(drainer, options.rate, 1)
            load = measure(drainer, options.rate, options.rate * options.seconds)
            alone = measure(drainer, 1, options.alone)
    lines = [line(f"{options.rate:,} a second", load), line("one a second", alone)]
    head = ("published", "messages", "median ms", "p99 ms", "worst ms")
    print_table("From publication to commit", head, lines)


def line(name: str, latencies: Sequence[float]) -> list[str]:
    percentiles = statistics.quantiles(latencies, n=100, method="inclusive")
    figures = (statistics.median(latencies), percentiles[98], max(latencies))
    return [name, f"{len(latencies):,}", *(f"{1e3 * figure:.1f}" for figure in figures)]


def measure(drainer: Drainer, rate: int, count: int) -> list[float]:
    """Seconds from publication to commit of `count` readings, published `rate` a second."""
    drainer.empty()
    commits = asyncio.run(publish_and_listen(drainer, rate, count))
    batches = [sent for (sent,) in drainer.connection.execute(SENT)]
    if len(batches) != len(commits) or sum(map(len, batches)) != count:
        raise RuntimeError(f"{len(batches)} batches and {len(commits)} notifications do not match.")
    return [
        commit - moment for commit, batch in zip(commits, batches, strict=True) for moment in batch
    ]


async def publish_and_listen(drainer: Drainer, rate: int, count: int) -> list[float]:
    """Publishes `count` readings, and returns when each commit that followed became known."""
    url = drainer.bench.url(drainer.side.database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("LISTEN telemetry")
        heard: list[float] = []
        listening = asyncio.create_task(listen(connection, heard))
        port = drainer.bench.broker.port
        async with await Publisher.connect(port) as publisher:
            await publish_evenly(publisher, drainer.side.tenant, rate, count)
            await publisher.settle()
        while not everything_is_stored(drainer, count):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.2)
        # The last notification may still be on its way.
        await asyncio.sleep(0.2)
        listening.cancel()
    return heard


async def listen(connection: psycopg.AsyncConnection, heard: list[float]) -> None:
    async for _ in connection.notifies():
        heard.append(time.time())  # noqa: PERF401 - the list is read while this runs


async def publish_evenly(publisher: Publisher, tenant: str, rate: int, count: int) -> None:
    """By the clock, not by pauses: a publisher that was late catches up."""
    start = time.perf_counter()
    for number in range(count):
        if (wait := start + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        sent = time.time()
        body = {"msg_id": f"{start}-{number}", "ts": sent, "sent": sent, "temperature": 21.5}
        topic = f"{tenant}/devices/dev-{number % DEVICES:05}/telemetry"
        publisher.send(topic, json.dumps(body).encode())


def everything_is_stored(drainer: Drainer, count: int) -> bool:
    query = "SELECT count(*) FROM telemetry_telemetry"
    return drainer.connection.execute(query).fetchone() == (count,)


if __name__ == "__main__":
    run(parse())
