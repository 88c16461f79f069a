"""Devices and their history, made inside PostgreSQL as fast as it writes."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from psycopg import Connection, sql

from benchmarks.bench import ROOT, Bench
from telemetry import partitions

EMAIL = "viewer@example.com"
PASSWORD = "correct horse battery"
# What HISTORY_DAYS leaves of a fleet that has been running for longer than that.
WEEKS = 60
CHUNK = 1_000_000

PEOPLE_AND_DEVICES = """
tenant = Tenant.objects.get_or_create(slug="t0")[0]
User.objects.create_user({email!r}, {password!r}, tenant=tenant, role="viewer")
Device.objects.register((tenant.pk, f"dev-{{number:05}}") for number in range({devices}))
"""
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT id, row_number() OVER (ORDER BY device_uid) - 1 AS place FROM devices_device
"""
# As time made it: all devices at one moment, then all of them at the next. The same for everybody.
MADE = """
SELECT mod(number, %(devices)s) AS place, md5(number::text) AS msg_id,
       %(end)s::timestamptz - %(every)s::interval
           * (%(rows)s / %(devices)s - 1 - number / %(devices)s) AS at,
       jsonb_build_object('temperature', round((20 + 10 * sin(number / 9e5))::numeric, 2),
                          'humidity', 40 + mod(number * 7, 500) / 10.0,
                          'battery', 3.7, 'ok', true) AS payload
FROM generate_series(%(first)s, %(last)s) AS number
"""
PLATFORM = f"""
WITH made AS ({MADE})
INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
SELECT id, at, msg_id, at, payload FROM made JOIN numbered USING (place)
"""
STATES = """
INSERT INTO devices_devicestate
       (device_id, last_seen_at, latest, latest_at, session, session_id, since, reason)
SELECT device.id, reading.ts, said.latest, reading.ts, 'online', 's1', reading.ts, ''
FROM devices_device AS device
CROSS JOIN LATERAL (
    SELECT ts, payload FROM telemetry_telemetry
    WHERE device_id = device.id ORDER BY ts DESC, id DESC LIMIT 1
) AS reading
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(key, jsonb_build_array(value, extract(epoch FROM ts) * 1000)) AS latest
    FROM jsonb_each(reading.payload)
) AS said
"""
BASELINE_DEVICES = """
INSERT INTO base_devices (device_uid, name, tenant)
SELECT 'dev-' || lpad(number::text, 5, '0'), 'dev-' || lpad(number::text, 5, '0'), 't0'
FROM generate_series(0, %s - 1) AS number
"""
BASELINE = f"""
INSERT INTO base_telemetry (device_uid, msg_id, payload, ts)
SELECT 'dev-' || lpad(place::text, 5, '0'), msg_id, payload, at FROM ({MADE}) AS made
"""


class History(NamedTuple):
    """Every one of `devices` said `each` readings, `every` so often, the last ones at `end`."""

    devices: int
    each: int
    every: timedelta
    end: datetime

    @property
    def rows(self) -> int:
        return self.devices * self.each

    def uid(self, number: int) -> str:
        return f"dev-{number:05}"


def history(devices: int, each: int, every: timedelta) -> History:
    """Until now."""
    return History(devices, each, every, datetime.now(UTC).replace(microsecond=0))


def fill(bench: Bench, database: str, made: History) -> None:
    """Gives a fresh database of the platform a user, the devices and their history."""
    script = PEOPLE_AND_DEVICES.format(email=EMAIL, password=PASSWORD, devices=made.devices)
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", script],
        cwd=ROOT,
        env=bench.environment(database),
        check=True,
    )
    with bench.connect(database) as connection:
        make_partitions(connection, made.end)
        connection.execute(NUMBERED)
        insert(connection, PLATFORM, made)
        connection.execute(STATES)
        connection.execute("VACUUM ANALYZE")


def fill_baseline(bench: Bench, database: str, made: History) -> None:
    """The same for the service before, which made its tables when it started."""
    with bench.connect(database) as connection:
        connection.execute(BASELINE_DEVICES, [made.devices])
        insert(connection, BASELINE, made)
        connection.execute("VACUUM ANALYZE")


def make_partitions(connection: Connection, end: datetime) -> None:
    """Those of WEEKS weeks and of the next one, as far as they are missing."""
    for back in range(-1, WEEKS):
        week = partitions.week_of(end) - back * partitions.WEEK
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
            ).format(
                sql.Identifier(partitions.name_of(week)),
                sql.Identifier(partitions.TABLE),
                sql.Literal(f"{week}T00:00Z"),
                sql.Literal(f"{week + partitions.WEEK}T00:00Z"),
            )
        )


def insert(connection: Connection, statement: str, made: History) -> None:
    """In chunks, so that no transaction grows without bounds."""
    for first in range(0, made.rows, CHUNK):
        last = min(first + CHUNK, made.rows) - 1
        values = {"devices": made.devices, "rows": made.rows, "every": made.every, "end": made.end}
        connection.execute(statement, {**values, "first": first, "last": last})
