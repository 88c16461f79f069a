"""Fixtures: a platform of real processes for every test, on a database of its own."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ledger import Ledger, wait_until
from tests.acceptance.processes import ROOT, Platform, Server
from tests.acceptance.proxy import MqttProxy, PostgresProxy
from tests.servers import Mosquitto

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """PostgreSQL with a migrated database named “migrated”."""
    with tempfile.TemporaryDirectory(prefix="iotplatform-") as directory:
        # PostgreSQL may have to run under another account than ours.
        Path(directory).chmod(0o711)
        with Server(Path(directory) / "postgres") as server:
            with server.connect() as connection:
                connection.execute("CREATE DATABASE migrated")
            migrate(server.postgres.url_of("migrated"))
            yield server


def migrate(url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "DEBUG": "1"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """The name of a fresh copy of “migrated”."""
    name = f"platform{next(numbers)}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    yield name
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def platform(
    tmp_path: Path, server: Server, database: str, broker: Mosquitto
) -> Iterator[Platform]:
    socket = server.postgres.socket_dir / ".s.PGSQL.5432"
    with PostgresProxy(socket) as sql, MqttProxy(broker.port) as mqtt:
        platform = Platform(tmp_path, server, database, broker, sql, mqtt)
        yield platform
        platform.stop()


@pytest.fixture
def ledger(broker: Mosquitto) -> Iterator[Ledger]:
    with Ledger(broker.port) as ledger:
        yield ledger


@pytest.fixture
def subscribed(platform: Platform, ledger: Ledger) -> None:
    """The ingestor's session exists at the broker, with nothing in it; the ingestor is away."""
    ingestor = platform.ingestor()
    ledger.wait_for_subscriber()
    wait_until(lambda: platform.count("telemetry_receipt"), "the first reading stored")
    assert ingestor.stop() == 0
