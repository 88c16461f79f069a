"""EMQX's questions: how many are decided a second, alone, beside the API, and by a whole fleet."""

import argparse
import asyncio
import hashlib
import http.client
import json
import random
import secrets
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta

from benchmarks import load
from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.fleet import fill, history
from benchmarks.service import HOST, Service, image_command
from tests.servers import free_port

QUICK = ("--rounds=1", "--seconds=2", "--fleet=500", "--pairs=50")

POOL = 16
"""Connections that EMQX keeps open to ask (docker-compose.yml)."""
API_CONNECTIONS = 4
LISTED = 100
HEAD = ("", "decisions/s", "p50 ms", "p99 ms")
SECRET = secrets.token_urlsafe(48)
OTHER_SECRETS = ("SECRET_KEY", "JWT_SECRET", "MQTT__INGEST_PASSWORD", "MQTT__DISPATCH_PASSWORD")
PATH = "/internal/mqtt/auth"
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"}

# Tokens that need not be read back, for nobody outside knows the secret.
CREDENTIALS = """
INSERT INTO devices_credential (device_id, digest, origin)
SELECT id, sha256(convert_to(encode(sha256(convert_to(%s || device_uid, 'UTF8')), 'hex'), 'UTF8')),
       'issued'
FROM devices_device
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.authentication", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind (3)")
    parser.add_argument("--seconds", type=float, default=8, help="of each run (8)")
    parser.add_argument("--fleet", type=int, default=10_000, help="devices that come back (10000)")
    parser.add_argument("--pairs", type=int, default=3000, help="questions to compare (3000)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench, platform(bench, options.fleet) as web:
        print(bench.describe())
        uids = [f"dev-{number:05}" for number in range(options.fleet)]
        known = [load.Request(asked(uid, token_of(uid)), length(web, uid)) for uid in uids]
        alone, beside = [], []
        for _ in range(options.rounds):
            alone.append(load.measure(web.port, known, POOL, options.seconds))
            beside.append(beside_the_api(web, known, options.seconds))
        lines = [
            line("alone", alone),
            line(f"beside GET /devices on {API_CONNECTIONS} connections", beside),
        ]
        print_table(f"Decisions of one web process (medians), {POOL} connections", HEAD, lines)
        report_fleet(web, [request.data for request in known])
        report_secrets(web, uids, options.pairs)


@contextmanager
def platform(bench: Bench, devices: int) -> Iterator[Service]:
    """A web process as the image starts it, with devices that have a credential each."""
    bench.create_database("platform")
    fill(bench, "platform", history(devices, 1, timedelta(minutes=1)))
    with bench.connect("platform") as connection:
        connection.execute(CREDENTIALS, [SECRET])
        connection.execute("ANALYZE devices_credential")
    port = free_port()
    command = (sys.executable, "-m", *image_command(f"{HOST}:{port}"), "--workers=1")
    environment = bench.environment("platform") | {
        "DEBUG": "0",
        "ALLOWED_HOSTS": HOST,
        "MQTT__ACCESS": "emqx",
        "MQTT__HOOK_SECRET": SECRET,
        "EMQX__API_URL": f"http://{HOST}:9/api/v5",
        **{name: secrets.token_urlsafe(48) for name in OTHER_SECRETS},
    }
    web = Service("platform", command, ROOT, environment, port, bench.directory / "web.log")
    with web.running():
        yield web


def token_of(uid: str) -> str:
    return hashlib.sha256(f"{SECRET}{uid}".encode()).hexdigest()


def body(uid: str, token: str) -> bytes:
    return json.dumps({"username": uid, "password": token, "clientid": uid}).encode()


def asked(uid: str, token: str) -> bytes:
    """The question as EMQX sends it."""
    said = body(uid, token)
    head = {"Host": "web:8000", **HEADERS, "Content-Length": len(said)}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + said


def length(web: Service, uid: str) -> int:
    """Of the answer that lets the device in; raises if it is not let in."""
    with closing(http.client.HTTPConnection(HOST, web.port)) as connection:
        connection.request("POST", PATH, body(uid, token_of(uid)), HEADERS)
        answer = connection.getresponse().read()
    if json.loads(answer)["result"] != "allow":
        raise RuntimeError(f"{uid} is not let in.")
    return len(answer)


def beside_the_api(web: Service, known: Sequence[load.Request], seconds: float) -> load.Load:
    """Decisions while apps read lists as fast as they are answered."""
    token = web.log_in()
    path = f"/devices?limit={LISTED}"
    listing = load.get(path, token, len(web.get(path, token)))
    with ThreadPoolExecutor(1) as pool:
        # Longer than what is measured, at both ends.
        more = load.WARM_UP_SECONDS + seconds + 1
        apps = pool.submit(load.measure, web.port, [listing], API_CONNECTIONS, more)
        time.sleep(load.WARM_UP_SECONDS)
        decided = load.measure(web.port, known, POOL, seconds)
        apps.result()
    return decided


def line(title: str, runs: Sequence[load.Load]) -> list[str]:
    rate, *latencies = (
        statistics.median(getattr(each, name) for each in runs)
        for name in ("rate", "median", "p99")
    )
    return [title, f"{rate:,.0f}", *(f"{1e3 * each:.1f}" for each in latencies)]


def report_fleet(web: Service, questions: Sequence[bytes]) -> None:
    start = time.perf_counter()
    waited = asyncio.run(come_back(web.port, questions))
    print(
        f"\n{len(questions):,} devices come back at once: all decided after "
        f"{time.perf_counter() - start:.1f} s, p50 {statistics.median(waited):.1f} s, "
        f"p99 {statistics.quantiles(waited, n=100)[98]:.1f} s"
    )


async def come_back(port: int, questions: Sequence[bytes]) -> list[float]:
    """How long each device waited since all of them came, in seconds; all have to be let in."""
    start, left, waited = time.perf_counter(), iter(questions), []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for question in left:
            writer.write(question)
            head = await reader.readuntil(load.HEADER_END)
            size = int(head.lower().split(load.LENGTH)[1].split(b"\r\n")[0])
            if b'"allow"' not in await reader.readexactly(size):
                raise RuntimeError("A device was not let in.")
            waited.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(POOL)))
    return waited


def report_secrets(web: Service, uids: Sequence[str], pairs: int) -> None:
    """Whether the time of a “deny” tells who is known; in turn, as both meet the same noise."""
    wrong = "0" * 64
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    with closing(http.client.HTTPConnection(HOST, web.port)) as connection:
        for number in range(pairs):
            both = [("known", random.choice(uids)), ("unknown", f"nob-{number:05}")]
            random.shuffle(both)
            for kind, uid in both:
                start = time.perf_counter()
                connection.request("POST", PATH, body(uid, wrong), HEADERS)
                connection.getresponse().read()
                taken[kind].append(time.perf_counter() - start)
    known, unknown = (1e6 * statistics.median(each) for each in taken.values())
    print(
        f"\nDenied, by a wrong token: a known device {known:,.0f} µs, an unknown one "
        f"{unknown:,.0f} µs (medians of {pairs:,}); ratio {known / unknown:.3f}"
    )


if __name__ == "__main__":
    run(parse())
