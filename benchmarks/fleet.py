"""Devices and their history, made inside PostgreSQL as fast as it writes."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from psycopg import Connection, sql

from benchmarks.bench import ROOT, Bench
from telemetry import partitions

EMAIL = "viewer@example.com"
PASSWORD = "correct horse battery"
# What HISTORY_DAYS leaves of a fleet that has been running for longer than that.
WEEKS = 60
# Rows at a time, few enough to be sorted in memory.
CHUNK = 1_000_000

PEOPLE_AND_DEVICES = """
tenant = Tenant.objects.get_or_create(slug="t0")[0]
User.objects.create_user({email!r}, {password!r}, tenant=tenant, role="viewer")
Device.objects.register((tenant.pk, f"dev-{{number:05}}") for number in range({devices}))
"""
# Rows are joined with what is made once: JSON made for each row would take longer than storing it.
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT id, row_number() OVER (ORDER BY device_uid) - 1 AS place FROM devices_device;
ANALYZE numbered
"""
PAYLOADS = """
CREATE TEMPORARY TABLE payloads AS
SELECT kind, jsonb_build_object('temperature', round((20 + 10 * sin(kind / 159.0))::numeric, 2),
                                'humidity', 40 + mod(kind * 7, 500) / 10.0,
                                'battery', 3.7, 'ok', true) AS payload
FROM generate_series(0, 999) AS kind;
ANALYZE payloads
"""
# As time made it: all devices at one moment, then all of them at the next. The same for everybody.
MADE = """
SELECT number, mod(number, %(devices)s) AS place, md5(number::text) AS msg_id,
       %(start)s::timestamptz + number / %(devices)s * %(every)s::interval AS at, payload
FROM generate_series(%(first)s::bigint, %(last)s) AS number
JOIN payloads ON kind = mod(number / %(devices)s + mod(number, %(devices)s) * 7, 1000)
"""
WEEK = f"""
WITH made AS ({MADE})
INSERT INTO {{table}} (id, device_id, ts, msg_id, received_at, payload)
SELECT number + 1, id, at, msg_id, at, payload FROM made JOIN numbered USING (place) ORDER BY number
"""
STATES = """
INSERT INTO devices_devicestate
       (device_id, last_seen_at, latest, latest_at, session, session_id, since, reason,
        data_at, data_since)
SELECT device.id, reading.ts, said.latest, reading.ts, 'online', 's1', reading.ts, '',
       reading.ts, reading.ts
FROM devices_device AS device
CROSS JOIN LATERAL (
    SELECT ts, payload FROM telemetry_telemetry
    WHERE device_id = device.id ORDER BY ts DESC, id DESC LIMIT 1
) AS reading
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(
        key, jsonb_build_array(value, (extract(epoch FROM ts) * 1000)::float8)
    ) AS latest
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
ORDER BY number
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

    @property
    def start(self) -> datetime:
        """The time of the first readings."""
        return self.end - (self.each - 1) * self.every

    def ticks_before(self, moment: datetime) -> int:
        """How many readings each device said before."""
        return min(max(0, -((self.start - moment) // self.every)), self.each)

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
        connection.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '512MB'")
        connection.execute(NUMBERED)
        connection.execute(PAYLOADS)
        last = partitions.week_of(made.end) + partitions.WEEK
        for back in range(WEEKS + 1):
            fill_week(connection, last - back * partitions.WEEK, made)
        connection.execute(STATES)
        connection.execute("VACUUM ANALYZE")


def fill_week(connection: Connection, week: date, made: History) -> None:
    """Makes the partition of `week`, with those readings that lie in it."""
    table = sql.Identifier(partitions.name_of(week))
    parent = sql.Identifier(partitions.TABLE)
    bounds = [datetime.combine(day, time(), UTC) for day in (week, week + partitions.WEEK)]
    # Reads do not see the difference, and logging so many rows would take longer than they do.
    make = sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {} INCLUDING DEFAULTS)").format(table, parent)
    connection.execute(make)
    insert(connection, sql.SQL(WEEK).format(table=table), made, *map(made.ticks_before, bounds))
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, table, *map(sql.Literal, bounds)
        )
    )


def fill_baseline(bench: Bench, database: str, made: History) -> None:
    """The same for the service before, which made its tables when it started."""
    with bench.connect(database) as connection:
        connection.execute(BASELINE_DEVICES, [made.devices])
        connection.execute(PAYLOADS)
        insert(connection, sql.SQL(BASELINE), made, 0, made.each)
        connection.execute("VACUUM ANALYZE")


def insert(
    connection: Connection, statement: sql.Composable, made: History, first: int, end: int
) -> None:
    """What all devices said from the `first` time on and before the time `end`."""
    values = {"devices": made.devices, "start": made.start, "every": made.every}
    stop = end * made.devices
    for number in range(first * made.devices, stop, CHUNK):
        last = min(number + CHUNK, stop) - 1
        connection.execute(statement, {**values, "first": number, "last": last})
