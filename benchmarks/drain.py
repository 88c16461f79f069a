"""How fast an ingestor stores what was queued while it was away, and what that costs."""

import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from psycopg import sql

from benchmarks.bench import ROOT, Bench
from benchmarks.process import Process, cpu_seconds
from benchmarks.publisher import DEVICES, Message, publish, readings

# The application_name of whoever works on the database beside the ingestor.
MAINTENANCE = "maintenance"
PATIENCE_SECONDS = 900


class Side(NamedTuple):
    """One of the ingestors that are compared, on a database and a tenant of its own."""

    name: str
    database: str
    tenant: str
    table: str
    command: tuple[str, ...]
    directory: Path
    environment: dict[str, str]


def ours(bench: Bench, database: str) -> Side:
    """`run_ingestor` on a fresh, migrated `database`."""
    bench.create_database(database)
    with bench.connect(database) as connection:
        # A tenant of its own keeps other sides' messages out of this session's queue.
        connection.execute(
            "INSERT INTO accounts_tenant (slug, name) VALUES (%s, %s)", [database, database]
        )
    environment = bench.environment(database)
    environment["MQTT__TOPIC"] = f"{database}/devices/+/telemetry"
    command = (sys.executable, "manage.py", "run_ingestor")
    return Side("platform", database, database, "telemetry_telemetry", command, ROOT, environment)


def baseline(bench: Bench, directory: Path, python: str) -> Side:
    """The ingestor of the service that the platform replaces, in `directory`."""
    database = "baseline"
    with bench.connect() as connection:
        connection.execute(f"CREATE DATABASE {database}")
    environment = bench.environment(database)
    environment["DATABASE_URL"] = bench.url(database, scheme="postgresql+asyncpg")
    environment["MQTT__TOPIC"] = f"{database}/devices/+/telemetry"
    command = (python, "ingestor.py")
    return Side(
        "baseline", database, database, "base_telemetry", command, directory.resolve(), environment
    )


class Drain(NamedTuple):
    """A stored backlog: messages/s; µs of CPU and bytes of WAL a message; peak memory in bytes;
    seconds from the start of the process to its first commit."""

    rate: float
    cpu: float
    database_cpu: float
    broker_cpu: float
    wal: float
    peak: float
    start: float


class Sample(NamedTuple):
    """A moment; CPU in seconds, WAL in bytes, so far."""

    time: float
    cpu: float
    database_cpu: float
    broker_cpu: float
    wal: int


# Counting millions of rows again and again would be the heaviest query on the machine. A sequence
# counts for nothing, and what it counted is committed once nobody has a transaction open.
PROGRESS = """
SELECT CASE WHEN is_called THEN last_value ELSE 0 END, NOT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL
      AND backend_type = 'client backend' AND application_name <> %s
) FROM {sequence}
"""


class Drainer:
    """Lets `side` drain backlogs, one after the other; its devices and session exist already."""

    def __init__(self, bench: Bench, side: Side) -> None:
        self.bench = bench
        self.side = side
        self.connection = bench.connect(side.database)
        self._log = bench.directory / f"{side.database}.log"
        sequence = sql.Identifier(f"{side.table}_id_seq")
        self._query = sql.SQL(PROGRESS).format(sequence=sequence)
        self._warm_up()

    def process(self) -> Process:
        side = self.side
        return Process(side.command, side.directory, side.environment, self._log)

    def _warm_up(self) -> None:
        with self.process() as process:
            while not self._is_heard():
                process.check()
                time.sleep(0.2)
            self._wait(process, DEVICES)

    def _is_heard(self) -> bool:
        """Publishes one reading of every device; whether somebody had subscribed them."""
        try:
            publish(self.bench.broker.port, readings(DEVICES, self.side.tenant))
        except RuntimeError:
            return False
        return True

    def empty(self) -> None:
        """Removes what is stored, so that the next run starts from nothing."""
        self.connection.execute("TRUNCATE telemetry_telemetry, telemetry_receipt")

    def run(self, count: int) -> Drain:
        """Queues `count` ordinary readings and measures their drain."""
        return self.drain(self.queue(readings(count, self.side.tenant)))

    def queue(self, messages: Iterable[Message]) -> int:
        """Publishes `messages` while the ingestor is away, and says how many."""
        return publish(self.bench.broker.port, messages)

    def drain(self, count: int) -> Drain:
        """Starts the ingestor and measures until the `count` queued readings are committed.

        From the first reading that is inserted: how long the process takes to start is another
        question, which the result answers as well.
        """
        self.connection.execute("CHECKPOINT")
        before, _ = self._progress()
        started = time.perf_counter()
        with self.process() as process:
            self._wait(process, before + 1)
            first = self._sample(process)
            self._wait(process, before + count)
            last = self._sample(process)
            peak = process.peak_bytes()
        inserted, _ = self._progress()
        if inserted != before + count:
            raise RuntimeError(f"{inserted - before} readings were stored, not {count}.")
        return drain_between(first, last, count, peak, first.time - started)

    def _progress(self) -> tuple[int, bool]:
        """The newest id, and whether everything so far is committed."""
        row = self.connection.execute(self._query, [MAINTENANCE]).fetchone()
        assert row
        return int(row[0]), bool(row[1])

    def _wait(self, process: Process, target: int) -> None:
        """Returns once the reading with the id `target`, and all before it, are inserted.

        Committed too, if it is the last one: nobody has a transaction open then.
        """
        started = time.perf_counter()
        first, _ = self._progress()
        while (passed := time.perf_counter() - started) < PATIENCE_SECONDS:
            process.check()
            newest, settled = self._progress()
            if newest > target or (newest == target and settled):
                return
            # Looking is not free on a busy machine: seldom, and often only near the end.
            left = passed * (target - newest) / (newest - first) if newest > first else 0
            time.sleep(min(max(0.004, left / 2), 0.5))
        raise RuntimeError(f"Not drained after {PATIENCE_SECONDS} s; see {self._log}.")

    def _sample(self, process: Process) -> Sample:
        broker = self.bench.broker.process
        assert broker
        server = psutil.Process(self.bench.postmaster)
        return Sample(
            time.perf_counter(),
            process.cpu_seconds(),
            sum(map(cpu_seconds, server.children())),
            cpu_seconds(psutil.Process(broker.pid)),
            self._wal_position(),
        )

    def _wal_position(self) -> int:
        row = self.connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
        assert row
        return int(row[0])


def drain_between(first: Sample, last: Sample, messages: int, peak: int, start: float) -> Drain:
    microseconds = 1e6 / messages
    return Drain(
        rate=messages / (last.time - first.time),
        cpu=(last.cpu - first.cpu) * microseconds,
        database_cpu=(last.database_cpu - first.database_cpu) * microseconds,
        broker_cpu=(last.broker_cpu - first.broker_cpu) * microseconds,
        wal=(last.wal - first.wal) / messages,
        peak=peak,
        start=start,
    )


HEAD = ("messages/s", "ingestor µs", "database µs", "broker µs", "WAL bytes", "peak MB", "start s")


def cells(drains: Sequence[Drain]) -> list[str]:
    """The medians of `drains`, for a table under `HEAD`."""
    median = Drain(*map(statistics.median, zip(*drains, strict=True)))
    costs = (f"{cpu:.1f}" for cpu in (median.cpu, median.database_cpu, median.broker_cpu))
    return [
        f"{median.rate:,.0f}",
        *costs,
        f"{median.wal:,.0f}",
        f"{median.peak / 1e6:.0f}",
        f"{median.start:.1f}",
    ]


def print_ratio(name: str, ratios: Sequence[float]) -> None:
    """The median of ratios that were each measured within one round, and their range."""
    print(f"{name}: {statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})")
