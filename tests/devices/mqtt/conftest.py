"""Tests here may be coroutines; each runs in an event loop of its own that must not complain."""

import asyncio
import inspect
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iotplatform.embedded.broker import Broker
from tests.devices.mqtt.clients import Address
from tests.servers import Mosquitto, free_pair

TEST_SECONDS = 30


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(without_complaints(pyfuncitem.obj, {n: pyfuncitem.funcargs[n] for n in names}))
    return True


async def without_complaints(test: Any, arguments: dict[str, Any]) -> None:
    """Runs a test and fails if anything went wrong where no caller could see it."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with asyncio.timeout(TEST_SECONDS):
        await test(**arguments)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not complaints
    assert not others


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto that keeps its sessions over a restart."""
    with Mosquitto(tmp_path, persistence=True) as broker:
        yield broker


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "embedded", free_pair(), max_packet=8 * 2**20)
    with broker.running():
        yield broker


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker(request: pytest.FixtureRequest) -> Address:
    """Where to reach each of the real brokers in turn."""
    server = request.getfixturevalue(request.param)
    return Address(server.platform_port if isinstance(server, Broker) else server.port)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `key.pem` and a self-signed `cert.pem` for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    return directory
