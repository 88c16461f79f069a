"""Everything that a soak runs on: the servers as deployed, the processes, people and devices."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from psycopg import Connection, sql

from benchmarks.bench import POSTGRES, ROOT, Bench
from benchmarks.commands import wait_until
from benchmarks.fleet import EMAIL, PASSWORD
from benchmarks.process import Process
from benchmarks.service import HOST, Service
from benchmarks.soak.devices import outlived_from, uid
from iotplatform.mosquitto import adapted
from telemetry import partitions
from tests.servers import MOSQUITTO, Mosquitto, free_port, wait_for_port

DATABASE = "soak"
TOKEN = secrets.token_urlsafe(32)
WEB_WORKERS = 2
REJECTED_MAX = 1_000
# Whose history is exported.
RECORDER = "recorder"
RECORDED = 100_000
RECORDED_EVERY = timedelta(seconds=20)
SEED = """
from devices.models import DeviceType
tenant = Tenant.objects.get(slug="t0")
User.objects.create_user({email!r}, {password!r}, tenant=tenant, role="operator")
brief = DeviceType.objects.create(tenant=tenant, name="brief", retention_days=1)
uids = [f"dev-{{number:05}}" for number in range({devices})] + [{recorder!r}]
Device.objects.register((tenant.pk, uid) for uid in uids)
Device.objects.filter(device_uid__gte={outlived!r}, device_uid__lt="e").update(type=brief)
"""
HISTORY = """
INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
SELECT id, at, number::text, at, jsonb_build_object('temperature', mod(number, 40), 'humidity', 50)
FROM generate_series(1, %s) AS number
CROSS JOIN LATERAL (SELECT now() - number * %s AS at) AS moment
JOIN devices_device ON device_uid = %s
"""


class Deployed(Mosquitto):
    """Mosquitto as deploy/mosquitto has it, but it lets everybody in."""

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        template = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
        own = {
            "allow_anonymous": "true",
            "listener": f"{self.port} {HOST}",
            "persistence_location": f"{self.directory}/",
        }
        open_to_all = "\n".join(
            line for line in template.splitlines() if not line.startswith("plugin")
        )
        file = self.directory / "mosquitto.conf"
        file.write_text(adapted(open_to_all, own))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(file)], stdout=log, stderr=log)
        wait_for_port(self.port, self.process, self.log)


class Ground(NamedTuple):
    """What runs. The ports are those at which ingestor and dispatcher are asked for metrics."""

    bench: Bench
    web: Service
    live: Service
    processes: dict[str, Process]
    metrics: dict[str, int]
    environment: dict[str, str]

    def connect(self) -> Connection:
        return self.bench.connect(DATABASE)


def server_options() -> dict[str, str]:
    """Those of deploy/postgres that this server takes; it listens at a socket of its own."""
    file = ROOT / "deploy/postgres/postgresql.conf"
    lines = file.read_text().splitlines() if file.exists() else []
    found = (re.match(r"\s*([a-z_]+)\s*=\s*('[^']*'|[^#\s]+)", line) for line in lines)
    options = {match[1]: match[2].strip("'") for match in found if match}
    for other in ("listen_addresses", "unix_socket_directories", "logging_collector"):
        options.pop(other, None)
    # Two web servers keep a connection a thread.
    return {**POSTGRES, "max_connections": "250", **options, "fsync": "on"}


@contextmanager
def started(devices: int) -> Iterator[Ground]:
    with Bench(Deployed, server_options()) as bench, ExitStack() as stack:
        print(bench.describe())
        bench.create_database(DATABASE)
        metrics = {"ingestor": free_port(), "dispatcher": free_port()}
        environment = bench.environment(DATABASE) | production()
        seed(bench, environment, devices)
        web, live = (serving(bench, environment, name) for name in ("web", "live"))
        processes = {name: stack.enter_context(daemon(bench, environment, name, port))
                     for name, port in metrics.items()}  # fmt: skip
        processes |= {each.name: stack.enter_context(each.running()) for each in (web, live)}
        for name, count in (("web", WEB_WORKERS), ("live", 1)):
            popen = processes[name].popen
            wait_until(lambda p=popen, n=count: len(p.children()) == n, f"no workers of {name}")
        yield Ground(bench, web, live, processes, metrics, environment)


def production() -> dict[str, str]:
    return {
        "DEBUG": "0",
        "ALLOWED_HOSTS": HOST,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET": secrets.token_urlsafe(48),
        "METRICS_TOKEN": TOKEN,
        "REJECTED_MAX": str(REJECTED_MAX),
        "WEB_WORKERS": str(WEB_WORKERS),
    }


@contextmanager
def daemon(bench: Bench, environment: dict[str, str], name: str, port: int) -> Iterator[Process]:
    command = [sys.executable, "manage.py", f"run_{name}"]
    log = bench.directory / f"{name}.log"
    own = environment | {"METRICS_PORT": str(port)}
    with Process(command, ROOT, own, log) as process:
        wait_until(lambda: "Connected to the broker" in log.read_text(), f"{name} not connected")
        yield process


def serving(bench: Bench, environment: dict[str, str], name: str) -> Service:
    """A web server as the image starts it, or the one of the live streams."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", "-c", "python:iotplatform.serving"),
        *("--bind", f"{HOST}:{port}", "iotplatform.wsgi"),
    ]
    own = {"WEB_WORKERS": "1", "WEB_THREADS": "128", "LIVE_STREAMS": "120"}
    environment = environment | (own if name == "live" else {})
    return Service(name, command, ROOT, environment, port, bench.directory / f"{name}.log")


def seed(bench: Bench, environment: dict[str, str], devices: int) -> None:
    """People, devices, and a history that is there to be exported."""
    script = SEED.format(
        email=EMAIL, password=PASSWORD, devices=devices, recorder=RECORDER,
        outlived=uid(outlived_from(devices)),
    )  # fmt: skip
    shell = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", script]
    subprocess.run(shell, cwd=ROOT, env=environment, check=True)
    with bench.connect(DATABASE) as connection:
        now = datetime.now(UTC)
        week = partitions.week_of(now - RECORDED * RECORDED_EVERY)
        while week <= partitions.week_of(now + partitions.AHEAD):
            make_week(connection, week)
            week += partitions.WEEK
        connection.execute(HISTORY, [RECORDED, RECORDED_EVERY, RECORDER])
        connection.execute("ANALYZE")


def make_week(connection: Connection, week: date) -> str:
    """The name of the partition of `week`, which is there now."""
    name = partitions.name_of(week)
    table, parent = sql.Identifier(name), sql.Identifier(partitions.TABLE)
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    if row == (True,):
        return name
    bounds = [datetime.combine(day, time(), UTC) for day in (week, week + partitions.WEEK)]
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS)").format(table, parent)
    )
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, table, *map(sql.Literal, bounds)
        )
    )
    return name
