"""The door for devices that speak HTTP: one reading a request, a hundred, and a read beside them.

Every answer came after its commit, and at the end every reading is looked for in the table.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import load, service
from benchmarks.api import HEAD, RECORDS, Run, Side, cells
from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.fleet import EMAIL, PASSWORD, PEOPLE_AND_DEVICES

QUICK = ("--rounds=1", "--seconds=2")

DEVICES = 100
READING = {"temperature": 21.53, "humidity": 40.2, "battery": 3.7, "ok": True}
TOKENS = """
from json import dumps
from devices.credentials.issuing import issue
print(dumps({each.credential.device.device_uid: each.token
             for each in issue(list(Device.objects.all()), None)}))
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--seconds", type=float, default=8, help="of each run (8)")
    parser.add_argument("--connections", type=int, default=8, help="that stay open (8)")
    return parser.parse_args(arguments)


class Work(NamedTuple):
    """Requests of one kind, and how many readings each of them stores."""

    name: str
    requests: Sequence[load.Request]
    stored: int


def run(options: argparse.Namespace) -> None:
    with Bench() as bench:
        print(bench.describe())
        bench.create_database("platform")
        tokens = make_devices(bench)
        web = service.platform(bench, "platform")
        with web.running() as process:
            side = Side(bench, web, process)
            works = prepare(side, web, tokens)
            rounds = [
                [side.run(work.requests, options.connections, options.seconds) for work in works]
                for _ in range(options.rounds)
            ]
        report(works, rounds, options.connections)
        check(bench, works, rounds)


def make_devices(bench: Bench) -> dict[str, str]:
    """Uid → token of each of the devices."""
    people = PEOPLE_AND_DEVICES.format(email=EMAIL, password=PASSWORD, devices=DEVICES)
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", people + TOKENS],
        cwd=ROOT,
        env=bench.environment("platform"),
        stdout=subprocess.PIPE,
        check=True,
    )
    made: dict[str, str] = json.loads(done.stdout)
    return made


def prepare(side: Side, web: service.Service, tokens: dict[str, str]) -> list[Work]:
    """Half of the devices send; the others have sent, once, what is read of them."""
    uids = sorted(tokens)
    sending, read = uids[: DEVICES // 2], uids[DEVICES // 2 :]
    for uid in read:
        web.post(f"/telemetry/{uid}", body_of(RECORDS).decode(), tokens[uid])
    works = [
        Work(name, [sent(uid, tokens[uid], count) for uid in sending], count)
        for name, count in (("POST 1 reading", 1), ("POST 100 readings", 100))
    ]
    reads = [side.request(f"/telemetry/{uid}", RECORDS) for uid in read]
    return [*works, Work("GET 100 readings", reads, 0)]


def body_of(count: int) -> bytes:
    """Without an id, as each shall be stored however often it is sent."""
    return json.dumps(READING if count == 1 else [READING] * count).encode()


def sent(uid: str, token: str, count: int) -> load.Request:
    answer = len(f'{{"stored":{count},"duplicate":0,"rejected":0}}')
    return load.post(f"/telemetry/{uid}", token, body_of(count), answer)


def report(works: Sequence[Work], rounds: Sequence[Sequence[Run]], connections: int) -> None:
    lines = []
    for work, runs in zip(works, zip(*rounds, strict=True), strict=True):
        rate, *rest = cells(runs)
        readings = f"{float(rate.replace(',', '')) * work.stored:,.0f}" if work.stored else "-"
        lines.append([work.name, rate, readings, *rest])
    print_table(
        f"{connections} connections to one web process (medians; costs are a request's)",
        ("", HEAD[0], "readings/s", *HEAD[1:]),
        lines,
    )


def check(bench: Bench, works: Sequence[Work], rounds: Sequence[Sequence[Run]]) -> None:
    answered = sum(
        run.answered * work.stored for runs in rounds for work, run in zip(works, runs, strict=True)
    )
    expected = answered + (DEVICES - DEVICES // 2) * RECORDS
    with bench.connect("platform") as connection:
        row = connection.execute("SELECT count(*) FROM telemetry_telemetry").fetchone()
    if row != (expected,):
        raise RuntimeError(f"{expected} readings were answered, and {row} are there.")
    print(f"All {expected:,} readings that were answered are in the table.")


if __name__ == "__main__":
    run(parse())
