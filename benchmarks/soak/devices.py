"""The devices of a soak, in a process of their own: they publish by the clock, and answer commands.

The last tenth of them sends what is older than its type keeps. Some messages come twice, and some
can never be stored.
"""

import asyncio
import json
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple, Self

import paho.mqtt.client as paho

from benchmarks.publisher import Publisher

HOST = "127.0.0.1"
TENANT = "t0"
# Of ten devices, so many send what a day of retention does not keep.
OUTLIVED_OF_TEN = 1
OUTLIVED_SECONDS = 30 * 3_600
AGAIN, BAD = 0.02, 0.01
# A command that no device answers.
UNHEARD = "be_silent"
REPORT_SECONDS = 2.0
PATIENCE_SECONDS = 60

spawn = multiprocessing.get_context("spawn")


class Plan(NamedTuple):
    """Where the devices are to connect, how many there are, and their messages a second."""

    port: int
    devices: int
    rate: int

    def is_outlived(self, device: int) -> bool:
        return device >= outlived_from(self.devices)


def outlived_from(devices: int) -> int:
    """The first of `devices` that sends what is too old for its type."""
    return devices - devices * OUTLIVED_OF_TEN // 10


class Sent(NamedTuple):
    """What the devices have published: readings that are to be kept, such as are too old for their
    type, repetitions, and messages that cannot be stored; how late it was at worst, in seconds.

    `fresh` counts by device; `heard` are the ids of commands that came, and how often.
    """

    kept: int
    outlived: int
    again: int
    bad: int
    refused: int
    late: float
    fresh: Counter[int]
    heard: Counter[str]

    @property
    def total(self) -> int:
        return self.kept + self.outlived + self.again + self.bad


class Devices:
    """The process; it publishes from `begin` to `finish`."""

    def __init__(self, plan: Plan) -> None:
        ours, theirs = spawn.Pipe(duplex=False)
        self._begin, self._stop = spawn.Event(), spawn.Event()
        self._results: Connection = ours
        self._process = spawn.Process(
            target=live, args=(plan, theirs, self._begin, self._stop), daemon=True
        )
        self.seen = 0

    def __enter__(self) -> Self:
        self._process.start()
        self._next()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def begin(self) -> None:
        self._begin.set()

    def published(self) -> int:
        """How many messages by now, a little while ago. Raises when the process is gone."""
        while self._results.poll():
            self.seen = self._next()
        if not self._process.is_alive():
            raise RuntimeError("The devices have ended; see above.")
        return self.seen

    def finish(self) -> Sent:
        """Once the broker has acknowledged everything."""
        self._stop.set()
        while not isinstance(result := self._next(), Sent):
            pass
        return result

    def _next(self) -> Any:
        if not self._results.poll(PATIENCE_SECONDS):
            raise RuntimeError("The devices say nothing any more.")
        return self._results.recv()


def live(plan: Plan, results: Connection, begin: Event, stop: Event) -> None:
    """In the process. Ctrl-C is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answering = Answering(plan.port)
    sent = asyncio.run(Fleet(plan, results).live(begin, stop))
    answering.close()
    results.send(sent._replace(heard=answering.heard))


class Answering:
    """One client in the place of all devices: it carries out every command it is to answer."""

    def __init__(self, port: int) -> None:
        self.heard: Counter[str] = Counter()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, "answering", clean_session=False
        )
        self._client.on_message = self._answer
        self._client.on_connect = lambda client, *_: client.subscribe(
            f"{TENANT}/devices/+/commands", qos=1
        )
        self._client.connect(HOST, port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _answer(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.heard[command["id"]] += 1
        if command["cmd"] != UNHEARD:
            topic = message.topic.removesuffix("commands") + "replies"
            self._client.publish(topic, json.dumps({"id": command["id"], "status": "ok"}), qos=1)


class Fleet:
    """All devices, each on a connection of its own."""

    def __init__(self, plan: Plan, results: Connection) -> None:
        self._plan = plan
        self._results = results
        self._counts: Counter[str] = Counter()
        self._fresh: Counter[int] = Counter()
        self._late = 0.0
        self._last: dict[int, bytes] = {}
        self._random = random.Random(plan.rate)

    async def live(self, begin: Event, stop: Event) -> Sent:
        async with AsyncExitStack() as stack:
            connections = [
                await stack.enter_async_context(await Publisher.connect(self._plan.port))
                for _ in range(self._plan.devices)
            ]
            self._results.send(0)
            await asyncio.to_thread(begin.wait)
            await self._publish(connections, stop)
            for each in connections:
                await each.settle()
        counts = self._counts
        refused = sum(each.refused for each in connections)
        return Sent(
            counts["kept"], counts["outlived"], counts["again"], counts["bad"],
            refused, self._late, self._fresh, Counter(),
        )  # fmt: skip

    async def _publish(self, connections: list[Publisher], stop: Event) -> None:
        """By the clock, not by pauses: who was late catches up."""
        start = reported = time.perf_counter()
        for number, bad in enumerate(bad_messages()):
            now = time.perf_counter()
            if (wait := start + number / self._plan.rate - now) > 0:
                await asyncio.sleep(wait)
            else:
                self._late = max(self._late, -wait)
            if now - reported > REPORT_SECONDS:
                reported = now
                self._results.send(number)
                if stop.is_set():
                    return
            device = number % self._plan.devices
            topic, body = self._message(device, number, bad)
            connections[device].send(topic, body)

    def _message(self, device: int, number: int, bad: tuple[str, bytes]) -> tuple[str, bytes]:
        topic = f"{TENANT}/devices/{uid(device)}/telemetry"
        chance = self._random.random()
        if chance < BAD:
            self._counts["bad"] += 1
            return bad[0] or topic, bad[1] % number
        if chance < BAD + AGAIN and device in self._last:
            self._counts["again"] += 1
            return topic, self._last[device]
        self._last[device] = self._reading(device, number)
        return topic, self._last[device]

    def _reading(self, device: int, number: int) -> bytes:
        now = time.time()
        outlived = self._plan.is_outlived(device)
        self._counts["outlived" if outlived else "kept"] += 1
        self._fresh[device] += 1
        return (
            f'{{"msg_id":"soak:{number}","ts":{now - OUTLIVED_SECONDS * outlived:.3f},'
            f'"sent":{now:.4f},"temperature":{self._random.uniform(15, 35):.2f},'
            f'"humidity":{self._random.uniform(20, 90):.1f},"ok":true}}'
        ).encode()


def bad_messages() -> Iterator[tuple[str, bytes]]:
    """(another topic than the device's, a body for a number), each bad in a way of its own."""
    while True:
        yield "", b'{"msg_id": [%d]}'
        yield "", b'{"temperature": NaN, "number": %d}'
        yield "", b'{"ts": 1000000000, "number": %d}'
        yield f"nobody/devices/{uid(0)}/telemetry", b'{"number": %d}'


def uid(device: int) -> str:
    return f"dev-{device:05}"
