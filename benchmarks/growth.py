"""The same drain into an empty database and into one with a long history, pruning included."""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.drain import HEAD, MAINTENANCE, Drain, Drainer, cells, ours, print_ratio
from benchmarks.publisher import DEVICES, readings

QUICK = ("--messages=20000", "--rounds=1", "--history=200000")

CHUNK = 500_000
HISTORY = "6 days 23 hours"
# As time made it: one after the other, round the devices, under ids without order.
FILL = f"""
WITH made AS MATERIALIZED (
    SELECT device.id AS device_id, md5(random()::text) AS msg_id,
           (random() * 1e18)::bigint AS digest,
           now() - interval '{HISTORY}' * (1 - number / %(total)s::float8) AS at,
           jsonb_build_object('temperature', round((15 + random() * 20)::numeric, 2),
                              'humidity', round((20 + random() * 70)::numeric, 1),
                              'ok', true, 'number', number) AS payload
    FROM generate_series(%(first)s, %(last)s) AS number
    JOIN numbered AS device ON place = mod(number, %(devices)s)
    ORDER BY number
), receipts AS (
    INSERT INTO telemetry_receipt (device_id, msg_id, digest, received_at)
    SELECT device_id, msg_id, digest, at FROM made
)
INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
SELECT device_id, at, msg_id, at, payload FROM made
"""
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS SELECT id, row_number() OVER () - 1 AS place FROM devices_device
"""
SIZES = """
SELECT pg_size_pretty(sum(pg_total_relation_size(relid))),
       pg_size_pretty(pg_total_relation_size('telemetry_receipt'))
FROM pg_partition_tree('telemetry_telemetry')
"""
EXPIRED = """
INSERT INTO telemetry_receipt (device_id, msg_id, digest, received_at)
SELECT id, md5(random()::text), 0, now() - interval '8 days'
FROM devices_device, generate_series(1, %s / %s)
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="backlog (200000)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--history", type=int, default=10_000_000, help="rows (10000000)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        empty = Drainer(bench, ours(bench, "empty"))
        grown = Drainer(bench, ours(bench, "grown"))
        fill(grown, options.history)
        rounds = []
        for _ in range(options.rounds):
            empty.empty()
            rounds.append((pruned(empty, options.messages), pruned(grown, options.messages)))
    before, after = zip(*rounds, strict=True)
    lines = [["0 rows", *cells(before)], [f"{options.history:,} rows", *cells(after)]]
    print_table("Drain beside pruning (medians; costs are a message's)", ("history", *HEAD), lines)
    print_ratio("with history / without", [late.rate / early.rate for early, late in rounds])


def fill(drainer: Drainer, rows: int) -> None:
    """Gives the database a history of `rows` readings with their receipts."""
    started = time.perf_counter()
    drainer.connection.execute(NUMBERED)
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows) - 1
        drainer.connection.execute(
            FILL, {"total": rows, "first": first, "last": last, "devices": DEVICES}
        )
    drainer.connection.execute("VACUUM ANALYZE telemetry_telemetry, telemetry_receipt")
    row = drainer.connection.execute(SIZES).fetchone()
    assert row
    print(
        f"{rows:,} rows of history made in {time.perf_counter() - started:.0f} s: "
        f"readings {row[0]}, receipts {row[1]}"
    )


def pruned(drainer: Drainer, count: int) -> Drain:
    """A drain of `count` readings while as many expired receipts are deleted."""
    drainer.connection.execute(EXPIRED, [count, DEVICES])
    queued = drainer.queue(readings(count, drainer.side.tenant))
    with maintenance(drainer):
        return drainer.drain(queued)


@contextmanager
def maintenance(drainer: Drainer) -> Iterator[None]:
    """`maintain` runs beside the block; the block waits for its end."""
    url = drainer.bench.url(drainer.side.database)
    environment = {
        **drainer.side.environment,
        "DATABASE_URL": f"{url}&application_name={MAINTENANCE}",
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "maintain"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    yield
    if process.wait(600):
        raise RuntimeError("maintain failed.")


if __name__ == "__main__":
    run(parse())
