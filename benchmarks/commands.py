"""Commands: how soon a device has one, how long a batch takes, how soon an answer is seen."""

import argparse
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from benchmarks import service
from benchmarks.bench import ROOT, Bench, print_table
from benchmarks.fleet import EMAIL, PASSWORD
from benchmarks.latency import line
from benchmarks.process import Process
from benchmarks.service import HOST, Service

QUICK = ("--rounds=1", "--seconds=3", "--fleet=500", "--answers=20")

DEVICES = 100
CONNECTIONS = 4
PATIENCE_SECONDS = 120
HEAD = ("until the device has it", "commands", "median ms", "p99 ms", "worst ms")

OPERATOR_AND_DEVICES = """
tenant = Tenant.objects.get_or_create(slug="t0")[0]
User.objects.create_user({email!r}, {password!r}, tenant=tenant, role="operator")
Device.objects.register((tenant.pk, f"dev-{{number:05}}") for number in range({devices}))
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.commands", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--rate", type=int, default=50, help="commands a second (50)")
    parser.add_argument("--seconds", type=int, default=10, help="of each run (10)")
    parser.add_argument("--answers", type=int, default=100, help="answers to look for (100)")
    parser.add_argument("--fleet", type=int, default=10_000, help="devices of a batch (10000)")
    parser.add_argument("--baseline", type=Path, help="directory of the service before")
    parser.add_argument("--baseline-python", help="a Python with that service's requirements")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with Bench() as bench, ExitStack() as stack:
        print(bench.describe())
        apps = [App(stack.enter_context(platform(bench, options.fleet)))]
        if options.baseline and options.baseline_python:
            before = service.baseline(bench, "base", options.baseline, options.baseline_python)
            stack.enter_context(before.running())
            apps.append(App(before))
        with Devices(bench.broker.port) as devices:
            compare(apps, devices, options)
            answers = [devices.time_answer(apps[0], number) for number in range(options.answers)]
            seconds = time_batch(apps[0], devices, options.fleet)
    print_table("From a device's answer to the API", HEAD[1:], [line("", answers)[1:]])
    print(
        f"\n{options.fleet:,} devices in one batch: accepted after {seconds[0]:.2f} s, "
        f"all of them have it after {seconds[1]:.2f} s, all are known as sent after "
        f"{seconds[2]:.2f} s"
    )


@contextmanager
def platform(bench: Bench, devices: int) -> Iterator[Service]:
    """The platform at work: web, ingestor, dispatcher, an operator and `devices`."""
    bench.create_database("platform")
    environment = bench.environment("platform") | {
        "COMMAND_QUEUE": "100000",
        "COMMAND_RATE": "1000000",
    }
    script = OPERATOR_AND_DEVICES.format(email=EMAIL, password=PASSWORD, devices=devices)
    shell = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", script]
    subprocess.run(shell, cwd=ROOT, env=environment, check=True)
    web = service.platform(bench, "platform")
    with ExitStack() as stack:
        for name in ("run_ingestor", "run_dispatcher"):
            command = [sys.executable, "manage.py", name]
            log = bench.directory / f"{name}.log"
            stack.enter_context(Process(command, ROOT, environment, log))
            wait_until(lambda log=log: "Connected to the broker" in log.read_text(), name)
        stack.enter_context(web.running())
        yield web


def compare(apps: Sequence["App"], devices: "Devices", options: argparse.Namespace) -> None:
    """Prints the latencies of each, of all rounds together."""
    latencies: dict[str, list[float]] = {}
    for app in apps:
        devices.time_commands(app, options.rate, options.rate)  # connections, caches
    for _ in range(options.rounds):
        for app in apps:
            count = options.rate * options.seconds
            asked, accepted = devices.time_commands(app, options.rate, count)
            latencies.setdefault(f"{app.name}, from the request", []).extend(asked)
            latencies.setdefault(f"{app.name}, from its answer", []).extend(accepted)
    lines = [line(name, seconds) for name, seconds in latencies.items()]
    print_table(f"{options.rate} commands a second", HEAD, lines)


class App:
    """A client of one of the services, logged in, on connections that stay open."""

    def __init__(self, web: Service) -> None:
        self.name = web.name
        self._port = web.port
        self._head = {
            "Authorization": f"Bearer {web.log_in()}",
            "Content-Type": "application/json",
        }
        self._own = threading.local()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        connection = self._connection()
        connection.request(method, path, body and json.dumps(body), self._head)
        response = connection.getresponse()
        answer = response.read()
        if response.status not in (200, 202):
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer)

    def send(self, number: int, nonce: str) -> Any:
        body = {"cmd": "reboot", "params": {"nonce": nonce}}
        return self.request("POST", f"/devices/dev-{number % DEVICES:05}/command", body)

    def reconnect(self) -> None:
        """Before a request that follows a long silence, in which the server hangs up."""
        self._connection().close()

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(HOST, self._port, timeout=30)
        connection: http.client.HTTPConnection = self._own.connection
        return connection


class Devices:
    """One client in the place of all devices; notes when each command came."""

    def __init__(self, port: int) -> None:
        self.came: dict[str, float] = {}
        self.count = 0
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "devices")
        self._client.on_message = self._note
        self._client.connect(HOST, port)
        # Or an answer would wait for 40 ms, until the broker's side confirms the PUBACK before it.
        self._client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.subscribe("t0/devices/+/commands", qos=1)
        self._client.loop_start()
        subscribed.wait(10)

    def __enter__(self) -> "Devices":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _note(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        now = time.perf_counter()
        self.count += 1
        if nonce := json.loads(message.payload)["params"].get("nonce"):
            self.came.setdefault(nonce, now)

    def time_commands(self, app: App, rate: int, count: int) -> tuple[list[float], list[float]]:
        """Seconds from request and answer to the device, of `count` commands, `rate` a second.

        Of a command that the device has before its sender is answered, the latter is none at all.
        """
        began: dict[str, float] = {}
        accepted: dict[str, float] = {}
        start = time.perf_counter()

        def send(number: int) -> None:
            if (wait := start + number / rate - time.perf_counter()) > 0:
                time.sleep(wait)
            nonce = f"{start}-{number}"
            began[nonce] = time.perf_counter()
            app.send(number, nonce)
            accepted[nonce] = time.perf_counter()

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(send, range(count)))
        wait_until(lambda: began.keys() <= self.came.keys(), "commands do not come")
        return (
            [self.came[nonce] - moment for nonce, moment in began.items()],
            [max(0.0, self.came[nonce] - moment) for nonce, moment in accepted.items()],
        )

    def time_answer(self, app: App, number: int) -> float:
        """Seconds from the publication of a device's answer until the API shows it."""
        nonce = f"answer-{number}"
        command = app.send(number, nonce)
        wait_until(lambda: nonce in self.came, "a command does not come")
        topic = f"t0/devices/{command['device_uid']}/replies"
        answer = json.dumps({"id": command["id"], "status": "ok"})
        began = time.perf_counter()
        self._client.publish(topic, answer, qos=1)
        path = f"/commands/{command['id']}"
        while app.request("GET", path)["status"] != "succeeded":
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise RuntimeError("An answer is not seen.")
        return time.perf_counter() - began


def time_batch(app: App, devices: Devices, fleet: int) -> tuple[float, float, float]:
    """Seconds until one command to all devices is accepted, has come, and is known as sent."""
    all_of_them = devices.count + fleet
    app.reconnect()
    began = time.perf_counter()
    batch = app.request("POST", "/commands", {"cmd": "reboot", "params": {}, "all": True})
    accepted = time.perf_counter() - began
    wait_until(lambda: devices.count >= all_of_them, "a batch does not come")
    came = time.perf_counter() - began
    path = f"/command-batches/{batch['id']}"
    app.reconnect()
    wait_until(lambda: app.request("GET", path)["counts"]["sent"] == fleet, "not all are sent")
    return accepted, came, time.perf_counter() - began


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"After {PATIENCE_SECONDS} s: {failure}.")
        time.sleep(0.005)


if __name__ == "__main__":
    run(parse())
