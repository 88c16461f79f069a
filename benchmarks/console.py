"""The console on a large platform: what each page costs the server, in time and in statements."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

from psycopg import Connection

from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.fleet import fill, history

QUICK = ("--rounds=3", "--devices=200", "--readings=20", "--rejected=2000", "--commands=2000")

MOST_SECONDS = 0.3
MOST_STATEMENTS = 12

EVERY = timedelta(minutes=10)

# As a bad week leaves it: rejected messages of some devices, for some reasons, most of them open.
REJECTED = """
INSERT INTO telemetry_rejectedmessage (id, tenant_id, device_uid, received_at, topic, payload, size,
                                       reason, detail, resolved_at)
SELECT gen_random_uuid(), tenant.id, 'dev-' || lpad(mod(number * 7, 300)::text, 5, '0'),
       now() - number * interval '1 second', convert_to('t0/devices/dev/telemetry', 'UTF8'),
       '{"temperature": 1}', 18,
       (ARRAY['bad_msg_id', 'not_finite', 'device_disabled', 'too_old'])[1 + mod(number, 4)], '',
       CASE WHEN mod(number, 10) = 0 THEN now() END
FROM generate_series(1, %s) AS number CROSS JOIN accounts_tenant AS tenant WHERE slug = 't0'
"""
COMMANDS = """
WITH made AS (
    INSERT INTO devices_command (id, tenant_id, device_id, cmd, params, status, reason,
        idempotency_key, created_at, sent_at, finished_at, expires_at, is_late, reply, error)
    SELECT gen_random_uuid(), tenant_id, device.id, 'reboot', '{}',
           CASE WHEN mod(number, 20) = 0 THEN 'failed' ELSE 'succeeded' END, '', '',
           now() - number * interval '3 seconds', now(), now(), now() + interval '1 day', false,
           'ok', ''
    FROM generate_series(1, %s) AS number
    JOIN numbered AS device_number ON place = mod(number * 13, %s)
    JOIN devices_device AS device USING (id)
    RETURNING number, status
)
INSERT INTO devices_commandtransition (command_id, status, by, detail)
SELECT number, unnest(ARRAY['queued', 'sent', status]), '', '' FROM made
"""
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT id, row_number() OVER (ORDER BY device_uid) - 1 AS place FROM devices_device;
ANALYZE numbered
"""
# A third is away, a third has not measured for long, and half has a type.
STATES = """
INSERT INTO devices_devicetype (tenant_id, name, offline_after, fields)
SELECT id, 'thermometer', 3600, '{"temperature": {"label": "Temperature", "unit": "°C"}}'
FROM accounts_tenant WHERE slug = 't0';
UPDATE devices_device SET type_id = (SELECT id FROM devices_devicetype LIMIT 1),
       labels = jsonb_build_object('site', 'hall ' || mod(id, 20)) WHERE mod(id, 2) = 0;
UPDATE devices_devicestate SET session = 'offline' WHERE mod(device_id, 3) = 0;
UPDATE devices_devicestate SET data_at = now() - interval '2 days' WHERE mod(device_id, 3) = 1
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.console", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of every page (7)")
    parser.add_argument("--devices", type=int, default=10_000, help="(10000)")
    parser.add_argument("--readings", type=int, default=1_000, help="of each device (1000)")
    parser.add_argument("--rejected", type=int, default=1_000_000, help="messages (1000000)")
    parser.add_argument("--commands", type=int, default=200_000, help="(200000)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        bench.create_database("platform")
        made = history(options.devices, options.readings, EVERY)
        fill(bench, "platform", made)
        with bench.connect("platform") as connection:
            add_trouble(connection, options)
        print(
            f"{made.devices:,} devices, {made.rows:,} readings, {options.rejected:,} rejected "
            f"messages, {options.commands:,} commands"
        )
        measure(bench, options.rounds)


def add_trouble(connection: Connection, options: argparse.Namespace) -> None:
    connection.execute(STATES)
    connection.execute(NUMBERED)
    connection.execute(REJECTED, [options.rejected])
    connection.execute(COMMANDS, [options.commands, options.devices])
    connection.execute("VACUUM ANALYZE")


def measure(bench: Bench, rounds: int) -> None:
    """A process of its own asks for the pages: settings are read once in a process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pages", str(rounds)],
        cwd=ROOT,
        env={**bench.environment("platform"), "DEBUG": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = [
        [
            f"{page['name']} ({who})",
            f"{page['milliseconds']:.0f}{mark(page['milliseconds'] > MOST_SECONDS * 1000)}",
            f"{page['statements']}{mark(page['statements'] > MOST_STATEMENTS)}",
            f"{page['kilobytes']:.0f}",
        ]
        for who, pages in json.loads(done.stdout).items()
        for page in pages
    ]
    print_table("The console (medians)", ("page", "ms", "statements", "kB, gzip"), lines)


def mark(is_too_much: bool) -> str:
    return " !" if is_too_much else ""


if __name__ == "__main__":
    run(parse())
