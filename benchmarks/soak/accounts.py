"""What became of the messages, as each of those who count them says."""

import re
import time
from typing import NamedTuple

from psycopg import Connection

from benchmarks.soak.ground import Ground
from benchmarks.soak.visitors import Visitor

# The ingestor writes its counters every ten.
LOG_SECONDS = 15.0
LINE = re.compile(r"ingest received=(\d+) stored=(\d+) duplicate=(\d+) rejected=(\d+)")
COUNTED = """
SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
       coalesce(sum(rejected), 0)::bigint
FROM telemetry_messagecount
"""
# Those of the soak alone; of the others maintain drops and exports are made.
ROWS = "SELECT count(*) FROM telemetry_telemetry WHERE msg_id LIKE 'soak:%%'"
REJECTED = """
SELECT (SELECT count(*) FROM telemetry_rejectedmessage),
       (SELECT coalesce(sum(number), 0)::bigint FROM telemetry_rejectedoverflow)
"""
COMMANDS = "SELECT status, count(*) FROM devices_command GROUP BY status"
RETENTION = "readings older than"


class Counted(NamedTuple):
    stored: int
    duplicate: int
    rejected: int


class Accounts(NamedTuple):
    """What the ingestor says in its log and to Prometheus, what the database has counted, and what
    is in it: rows, those that retention has deleted, rejected messages and those above the bound.
    """

    log: Counted
    metrics: Counted
    database: Counted
    rows: int
    outlived: int
    rejected: int
    overflow: int
    commands: dict[str, int]


def counted_by_database(connection: Connection) -> Counted:
    row = connection.execute(COUNTED).fetchone()
    assert row
    return Counted(*row)


def commands_left(connection: Connection) -> int:
    """How many are open."""
    counts = commands_by_status(connection)
    return sum(counts.get(each, 0) for each in ("queued", "sent", "acknowledged"))


def commands_by_status(connection: Connection) -> dict[str, int]:
    rows: list[tuple[str, int]] = connection.execute(COMMANDS).fetchall()
    return dict(rows)


def take(ground: Ground, upkeep: Visitor, read: dict[str, dict[str, float]]) -> Accounts:
    with ground.connect() as connection:
        database = counted_by_database(connection)
        ((rows,),) = connection.execute(ROWS).fetchall()
        ((rejected, overflow),) = connection.execute(REJECTED).fetchall()
        commands = commands_by_status(connection)
    outlived = sum(n for what, n in upkeep.counts.items() if what.startswith(RETENTION))
    return Accounts(
        counted_by_log(ground, sum(database)),
        counted_by_metrics(read.get("ingestor", {})),
        database, rows, outlived, rejected, overflow, commands,
    )  # fmt: skip


def counted_by_log(ground: Ground, received: int) -> Counted:
    """The last line of counters; where it is due to name `received`, that is waited for."""
    deadline = time.monotonic() + LOG_SECONDS
    while True:
        found = LINE.findall(ground.processes["ingestor"].log.read_text())
        if (found and int(found[-1][0]) >= received) or time.monotonic() > deadline:
            return Counted(*map(int, found[-1][1:])) if found else Counted(0, 0, 0)
        time.sleep(0.5)


def counted_by_metrics(values: dict[str, float]) -> Counted:
    name = "iotplatform_readings_total"
    return Counted(*(int(values.get(f"{name} {each}", 0)) for each in Counted._fields))
