"""Live streams of one web process: from publication over MQTT to the event at each client."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from benchmarks import service
from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.drain import Drainer, ours
from benchmarks.fleet import EMAIL, PASSWORD
from benchmarks.latency import line
from benchmarks.process import Process
from benchmarks.publisher import Publisher

QUICK = ("--streams=20", "--seconds=5")

DEVICES = 100
TENANT = "platform"
PERSON = f"""
tenant = Tenant.objects.get(slug={TENANT!r})
User.objects.create_user({EMAIL!r}, {PASSWORD!r}, tenant=tenant, role="viewer")
"""
# Longer than any event takes.
REST_SECONDS = 5
HEAD = ("each stream follows", "events", "median ms", "p99 ms", "worst ms", "lost", "CPU %")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.live", description=__doc__)
    parser.add_argument("--streams", type=int, default=100, help="open at a time (100)")
    parser.add_argument("--rate", type=int, default=50, help="messages a second (50)")
    parser.add_argument("--seconds", type=int, default=20, help="for how long (20)")
    return parser.parse_args(arguments)


class Measured(NamedTuple):
    latencies: list[float]
    lost: int
    cpu: float


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        drainer = Drainer(bench, ours(bench, TENANT))
        shell = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", PERSON]
        subprocess.run(shell, cwd=ROOT, env=bench.environment(TENANT), check=True)
        # A quarter of which one person may have.
        web = service.platform(bench, TENANT, threads=128, LIVE_STREAMS="500")
        with drainer.process(), web.running() as process:
            token = web.log_in()
            rows = []
            for name, width in (("one device", 1), ("all devices", DEVICES)):
                done = asyncio.run(measure(drainer, web.port, token, process, width, options))
                cells = line(name, done.latencies)
                rows.append([*cells, f"{done.lost:,}", f"{done.cpu:.0f}"])
            peak = process.peak_bytes()
    title = f"{options.streams} streams, {options.rate} messages a second"
    print_table(title, HEAD, rows)
    print(f"The web process held at most {peak / 1e6:.0f} MB.")


async def measure(
    drainer: Drainer,
    port: int,
    token: str,
    process: Process,
    width: int,
    options: argparse.Namespace,
) -> Measured:
    """Each stream follows `width` devices; together they follow all of them."""
    count = options.rate * options.seconds
    latencies: list[float] = []
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(options.streams):
            uids = [f"dev-{(number + each) % DEVICES:05}" for each in range(width)]
            readers.append(await stack.enter_async_context(following(port, token, uids)))
        listening = [asyncio.create_task(listen(reader, latencies)) for reader in readers]
        broker = drainer.bench.broker.port
        publisher = await stack.enter_async_context(await Publisher.connect(broker))
        before, started = process.cpu_seconds(), time.perf_counter()
        await publish_evenly(publisher, options.rate, count)
        await publisher.settle()
        cpu = (process.cpu_seconds() - before) / (time.perf_counter() - started)
        await asyncio.sleep(REST_SECONDS)
        for task in listening:
            task.cancel()
    await asyncio.sleep(2)
    # Message by message, how many streams follow its device.
    streams = range(options.streams)
    wanted = sum((n - first) % DEVICES < width for n in range(count) for first in streams)
    return Measured(latencies, wanted - len(latencies), 100 * cpu)


@asynccontextmanager
async def following(
    port: int, token: str, uids: Sequence[str]
) -> AsyncIterator[asyncio.StreamReader]:
    """A stream at its beginning."""
    reader, writer = await asyncio.open_connection(service.HOST, port)
    path = f"/live/telemetry?devices={','.join(uids)}"
    head = f"GET {path} HTTP/1.1\r\nHost: {service.HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    try:
        await reader.readuntil(b"event: ready")
    except asyncio.IncompleteReadError as error:
        raise RuntimeError(f"No stream: {error.partial.decode()}") from error
    yield reader
    writer.close()


async def listen(reader: asyncio.StreamReader, latencies: list[float]) -> None:
    """Note how long each reading took to come."""
    async for text in reader:
        if text.startswith(b"data: {") and b"readings" in text:
            now = time.time()
            readings = json.loads(text.removeprefix(b"data: "))["readings"]
            latencies += [now - reading["payload"]["sent"] for reading in readings]


async def publish_evenly(publisher: Publisher, rate: int, count: int) -> None:
    """By the clock, not by pauses: a publisher that was late catches up."""
    start = time.perf_counter()
    for number in range(count):
        if (wait := start + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        body = {"msg_id": f"{start}-{number}", "sent": time.time(), "temperature": 21.5}
        topic = f"{TENANT}/devices/dev-{number % DEVICES:05}/telemetry"
        publisher.send(topic, json.dumps(body).encode())


if __name__ == "__main__":
    run(parse())
