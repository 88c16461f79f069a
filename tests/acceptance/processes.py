"""The parts of a running platform that a test may hurt: broker, database and processes."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from iotplatform import embedded
from tests.acceptance.ledger import Ledger, Verdict, wait_until
from tests.acceptance.proxy import MqttProxy, PostgresProxy
from tests.forks import fork
from tests.servers import Mosquitto

STOP_SECONDS = 20
COUNTERS = re.compile(r" (received|published)=\d")


class Server:
    """A durable PostgreSQL on `data`, which may be stopped the hard way and started again."""

    def __init__(self, data: Path) -> None:
        self.postgres = embedded.Postgres(data)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def _start(self) -> None:
        self._running.enter_context(self.postgres.running())

    @contextlib.contextmanager
    def down(self, how: signal.Signals) -> Iterator[None]:
        """Ends it before the block and starts it again after.

        SIGQUIT: at once, without a checkpoint. SIGINT: clients are thrown out first.
        """
        file = self.postgres.data / "postmaster.pid"
        os.kill(int(file.read_text().split()[0]), how)
        wait_until(lambda: not file.exists(), "the end of PostgreSQL")
        try:
            yield
        finally:
            self._start()

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.url_of(database), autocommit=True)


class Process:
    """A command of the platform as a process of its own; its log is in `log`."""

    def __init__(self, log: Path, environment: dict[str, str], *command: str) -> None:
        self.log = log
        self.process = fork(log, {**os.environ, **environment}, *command)

    def kill(self) -> None:
        """kill -9"""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"Still running after {seconds} s:\n{self.said}"
        return self.process.exitcode

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_until_connected(self) -> None:
        """Returns once the broker has accepted it."""
        wait_until(lambda: "Connected to the broker" in self.said, f"a broker for {self.log}")

    @property
    def counters(self) -> dict[str, int]:
        """The whole numbers in the last line of counters."""
        line = [line for line in self.said.splitlines() if COUNTERS.search(line)][-1]
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?=\s|$)", line)}


class Platform:
    """A broker and a database behind proxies, and the processes that work between them.

    `variables` are settings that its processes start with.
    """

    listening: Process

    def __init__(
        self, directory: Path, server: Server, database: str, broker: Mosquitto,
        sql: PostgresProxy, mqtt: MqttProxy,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.server = server
        self.database = database
        self.broker = broker
        self.sql = sql
        self.mqtt = mqtt
        self.variables = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{sql.port}/{database}",
            "MQTT__HOST": "127.0.0.1",
            "MQTT__PORT": str(mqtt.port),
            "DEBUG": "1",
            "LOCAL_DIR": str(directory),
        }
        self._started: list[Process] = []

    def ingestor(self, *arguments: str, **options: str) -> Process:
        return self.start("run_ingestor", *arguments, **options)

    def dispatcher(self, **options: str) -> Process:
        return self.start("run_dispatcher", **options)

    def start(self, *command: str, client: str = "iotplatform", sabotage: str = "") -> Process:
        """Starts one more; `sabotage` names a way in which it is broken on purpose."""
        python = ("-m", "tests.acceptance.sabotage", sabotage) if sabotage else ("manage.py",)
        log = self.directory / f"{command[0]}-{len(self._started)}.log"
        environment = {**self.variables, "MQTT__CLIENT_ID": client}
        started = Process(log, environment, *python, *command)
        self._started.append(started)
        return started

    def drain(self, **options: str) -> Process:
        """Has an ingestor store everything that is queued; returns when it ended."""
        drained = self.ingestor("--drain", **options)
        assert drained.wait(60) == 0, drained.said
        return drained

    def judge(self, ledger: Ledger) -> Verdict:
        with self.server.connect(self.database) as connection:
            return ledger.verdict(connection)

    def count(self, table: str) -> int:
        """How many rows the table has, seen past the proxy."""
        with self.server.connect(self.database) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row
        return int(row[0])

    @contextlib.contextmanager
    def frozen_transaction(self) -> Iterator[None]:
        """While the block lasts the server does nothing for the one who has a transaction open."""
        # Others are open for a moment.
        query = """
            SELECT pid FROM pg_stat_activity
            WHERE datname = %s AND state = 'idle in transaction' ORDER BY state_change LIMIT 1
        """
        with self.server.connect() as connection:
            ((pid,),) = connection.execute(query, [self.database]).fetchall()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def usurper(self, *, clean_start: bool) -> Iterator[None]:
        """Another client under the ingestor's client id; the broker throws the ingestor out.

        It acknowledges nothing. A clean start drops the ingestor's session for good.
        """
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            "iotplatform-ingest",
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 0 if clean_start else 3600
        client.connect("127.0.0.1", self.broker.port, clean_start=clean_start, properties=keep)
        client.loop_start()
        assert connected.wait(10)
        yield
        client.disconnect()
        client.loop_stop()

    def stop(self, *others: Process) -> None:
        """Ends what a test left running, but not `others`."""
        for each in self._started:
            if each not in others and each.process.is_alive():
                each.kill()
