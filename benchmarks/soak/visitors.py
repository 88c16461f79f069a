"""Those who use the platform meanwhile: people, their programs, and the daily upkeep."""

import asyncio
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bench import ROOT
from benchmarks.commands import App
from benchmarks.live import following
from benchmarks.soak.devices import UNHEARD, uid
from benchmarks.soak.ground import HOST, RECORDED, RECORDER, TOKEN, Ground, make_week
from telemetry import partitions

UPKEEP_SECONDS = 60.0
EXPORT_SECONDS = 10.0
POLL_SECONDS = 0.5
SCRAPE_SECONDS = 15.0
PATIENCE_SECONDS = 60
# Each stream follows so many devices of its own.
FOLLOWED = 5
# One of so many commands is to a device that does not hear it; it lives for so many seconds.
UNHEARD_OF = 10
LIFE_SECONDS = 10
OLD_ROWS = 10_000
OLD = timedelta(days=450)
OLD_RECEIPTS = """
INSERT INTO telemetry_receipt (device_id, msg_id, digest, received_at)
SELECT id, md5(random()::text), 0, now() - interval '30 days'
FROM devices_device, generate_series(1, 20)
"""
OLD_READINGS = """
INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
SELECT (SELECT min(id) FROM devices_device), %s, number::text, now(), '{"temperature": 1}'
FROM generate_series(1, %s) AS number
"""
DONE = re.compile(r"^(?P<what>.*): (?P<count>\d+) \w+$", re.MULTILINE)


class Visitor:
    """Works in a thread of its own until told to stop; what it could not do is in `failures`."""

    def __init__(self, name: str, work: Callable[["Visitor"], None], pause: float) -> None:
        self.name = name
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._work = work
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    def do(self) -> None:
        """Once; a failure is noted, and nothing else comes of it."""
        began = time.perf_counter()
        try:
            self._work(self)
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            self.failures.append(f"{self.name}: {type(error).__name__}: {error}")
        self.seconds.append(time.perf_counter() - began)

    def _live(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.do()
            due = max(due + self._pause, time.monotonic())


def upkeep(ground: Ground) -> Visitor:
    """`maintain` every minute, each time with an old week to drop and old receipts to delete."""
    connection = ground.connect()

    def maintain(visitor: Visitor) -> None:
        old = datetime.now(UTC) - OLD - visitor.counts["runs"] * partitions.WEEK
        week = make_week(connection, partitions.week_of(old))
        connection.execute(OLD_READINGS, [old, OLD_ROWS])
        connection.execute(OLD_RECEIPTS)
        command = [sys.executable, "manage.py", "maintain"]
        done = subprocess.run(
            command, cwd=ROOT, env=ground.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"maintain ended with {done.returncode}: {done.stderr[-1000:]}")
        visitor.counts["runs"] += 1
        for match in DONE.finditer(done.stdout):
            visitor.counts[match["what"]] += int(match["count"])
        if connection.execute("SELECT to_regclass(%s)", [week]).fetchone() != (None,):
            raise RuntimeError(f"maintain left {week}.")

    return Visitor("upkeep", maintain, UPKEEP_SECONDS)


def exports(ground: Ground) -> Visitor:
    """Whole files, one after the other, in both formats in turn."""
    token = ground.web.log_in()

    def export(visitor: Visitor) -> None:
        form = ("csv", "ndjson")[visitor.counts["files"] % 2]
        lines = ground.web.count_lines(f"/telemetry/{RECORDER}/export?as={form}", token)
        visitor.counts["files"] += 1
        visitor.counts["rows"] += lines
        if lines != RECORDED + (form == "csv"):
            raise RuntimeError(f"a file of {lines} lines")

    return Visitor("exports", export, EXPORT_SECONDS)


def poll(ground: Ground, devices: int) -> Visitor:
    """An app that shows the fleet, one device after the other."""
    app = App(ground.web)

    def ask(visitor: Visitor) -> None:
        device = uid(visitor.counts["requests"] * 7 % devices)
        paths = (
            f"/telemetry/{device}", "/devices?limit=100", f"/telemetry/{device}/latest",
            f"/telemetry/{device}/series?keys=temperature",
        )  # fmt: skip
        app.reconnect()
        app.request("GET", paths[visitor.counts["requests"] % len(paths)])
        visitor.counts["requests"] += 1

    return Visitor("api", ask, POLL_SECONDS)


def commands(ground: Ground, devices: int, rate: float) -> Visitor:
    """Commands to one device after the other; the ids of those that were accepted are counted."""
    app = App(ground.web)

    def send(visitor: Visitor) -> None:
        number = visitor.counts["sent"]
        unheard = number % UNHEARD_OF == 0
        body = {"cmd": UNHEARD if unheard else "blink", "params": {"number": number}}
        life = {"expires_in": LIFE_SECONDS} if unheard else {}
        app.reconnect()
        app.request("POST", f"/devices/{uid(number % devices)}/command", body | life)
        visitor.counts["sent"] += 1
        visitor.counts["unheard"] += unheard

    return Visitor("commands", send, 1 / rate)


def scrapes(ground: Ground) -> tuple[Visitor, dict[str, dict[str, float]]]:
    """Prometheus, and what it read last of each process: sums over labels but the outcome."""
    ports = {**ground.metrics, "web": ground.web.port, "live": ground.live.port}
    read: dict[str, dict[str, float]] = {}

    def scrape(visitor: Visitor) -> None:
        for name, port in ports.items():
            read[name] = metrics(port)
            visitor.counts["scrapes"] += 1

    return Visitor("metrics", scrape, SCRAPE_SECONDS), read


def metrics(port: int) -> dict[str, float]:
    """What one process says of itself."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"/metrics answers {response.status}.")
    values: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            outcome = sample.labels.get("outcome")
            values[f"{sample.name} {outcome}" if outcome else sample.name] += sample.value
    return values


class Streams:
    """Live streams from the first reading to the last, each of some devices of its own."""

    def __init__(self, ground: Ground, count: int) -> None:
        self.devices = range(count * FOLLOWED)
        self.events: Counter[str] = Counter()
        self.ended = 0
        self.latencies: list[float] = []
        self.seen: set[tuple[str, str]] = set()
        self._count = count
        self._port = ground.live.port
        self._token = ground.live.log_in()
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(PATIENCE_SECONDS):
            raise RuntimeError("The streams do not open.")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            readers = []
            for number in range(self._count):
                first = number * FOLLOWED
                uids = [uid(each) for each in range(first, first + FOLLOWED)]
                readers.append(
                    await stack.enter_async_context(following(self._port, self._token, uids))
                )
            listening = [asyncio.create_task(self._listen(reader)) for reader in readers]
            self._ready.set()
            await asyncio.to_thread(self._stop.wait)
            for task in listening:
                task.cancel()
            await asyncio.wait(listening)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        name = b""
        async for text in reader:
            if text.startswith(b"event: "):
                name = text.removeprefix(b"event: ").strip()
                self.events[name.decode()] += 1
            elif name == b"telemetry" and text.startswith(b"data: "):
                self._take(json.loads(text.removeprefix(b"data: ")))
        self.ended += 1

    def _take(self, event: Any) -> None:
        now = time.time()
        for reading in event["readings"]:
            self.events["readings"] += 1
            self.seen.add((event["device_uid"], reading["msg_id"]))
            self.latencies.append(now - reading["payload"]["sent"])
