"""The ground of every benchmark: servers on fresh directories, and how results are printed."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from benchmarks import machine
from iotplatform import embedded
from tests.servers import Mosquitto

ROOT = Path(__file__).resolve().parent.parent
# What deploy/ gives a server of this size; the defaults of PostgreSQL are those of a tiny one.
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "4GB"}


class Bench:
    """A broker and a database server for the time of a block.

    `broker` makes one that runs below a directory, `postgres` are parameters of the server.
    """

    def __init__(
        self,
        broker: Callable[[Path], Mosquitto] = Mosquitto,
        postgres: Mapping[str, str] = POSTGRES,
    ) -> None:
        self._make_broker = broker
        self._options = postgres
        self._parts = contextlib.ExitStack()

    def __enter__(self) -> Self:
        directory = self._parts.enter_context(tempfile.TemporaryDirectory(prefix="iotplatform-"))
        # PostgreSQL may have to run under another account than ours.
        Path(directory).chmod(0o711)
        self.directory = Path(directory)
        self.broker = self._parts.enter_context(self._make_broker(self.directory))
        self._postgres = embedded.Postgres(self.directory / "postgres", **self._options)
        self._parts.enter_context(self._postgres.running())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._parts.close()

    @property
    def postmaster(self) -> int:
        """The process whose children are PostgreSQL's."""
        return int((self._postgres.data / "postmaster.pid").read_text().split()[0])

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """The address of `database`, as psycopg, Django and SQLAlchemy all take it."""
        return self._postgres.url_of(database).replace("postgresql", scheme, 1)

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    def create_database(self, name: str) -> None:
        """A database of the platform, migrated."""
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"],
            cwd=ROOT,
            env=self.environment(name),
            check=True,
        )

    def environment(self, database: str) -> dict[str, str]:
        """For a process of the platform."""
        return {
            **os.environ,
            "DATABASE_URL": self.url(database),
            "MQTT__HOST": self.broker.host,
            "MQTT__PORT": str(self.broker.port),
            "MQTT__CLIENT_ID": database,
            "DEBUG": "1",
            "LOCAL_DIR": str(self.directory),
        }

    def describe(self) -> str:
        """The machine and the servers, for the head of every table."""
        with self.connect() as connection:
            return machine.describe(connection)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of even width, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    print(f"\n{title}")
    for row in (head, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]))
