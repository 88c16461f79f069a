"""Fixtures: a platform of real processes for every test, on a database of its own; a browser."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from accounts.models import Tenant
from devices.models import Device
from tests import template
from tests.acceptance.browsers import launch, watched
from tests.acceptance.fleet import Fleet
from tests.acceptance.ledger import Ledger, wait_until
from tests.acceptance.processes import Platform, Server
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
            template.fill(server.postgres.url_of("migrated"))
            yield server


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    with fresh_database(server) as name:
        yield name


@contextlib.contextmanager
def fresh_database(server: Server) -> Iterator[str]:
    """The name of a copy of “migrated”, which is gone after the block."""
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
    with platform_between(tmp_path, server, database, broker) as platform:
        yield platform


@contextlib.contextmanager
def platform_between(
    directory: Path, server: Server, database: str, broker: Mosquitto
) -> Iterator[Platform]:
    socket = server.postgres.socket_dir / ".s.PGSQL.5432"
    with PostgresProxy(socket) as sql, MqttProxy(broker.port) as mqtt:
        platform = Platform(directory, server, database, broker, sql, mqtt)
        yield platform
        platform.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Platform]:
    """A platform with an ingestor, `shared.listening`, for all tests of a module."""
    directory = tmp_path_factory.mktemp("shared")
    with (
        Mosquitto(directory) as broker,
        fresh_database(server) as database,
        platform_between(directory, server, database, broker) as platform,
    ):
        platform.listening = platform.ingestor()
        platform.listening.wait_until_connected()
        yield platform


@pytest.fixture
def _models(platform: Platform, django_db_blocker: Any) -> Iterator[None]:
    """Django in this process, the API too, works on the platform's database, past the proxy."""
    # One for all threads.
    settings = connections.settings["default"]
    server = {"HOST": str(platform.server.postgres.socket_dir), "PORT": "5432", "USER": "postgres"}
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        connections.close_all()
        for name, value in {**server, "NAME": platform.database}.items():
            patch.setitem(settings, name, value)
        yield
        connections.close_all()


@pytest.fixture
def new_fleet(platform: Platform, _models: None) -> Iterator[Callable[..., Fleet]]:
    """Makes a fleet of so many devices, in a tenant of its own; not connected yet."""
    fleets = []

    def make(devices: int, **options: Any) -> Fleet:
        tenant = Tenant.objects.create(slug=f"acme-{next(numbers)}", name="Acme")
        Device.objects.bulk_create(
            Device(device_uid=f"{tenant.slug}:{number}", tenant=tenant) for number in range(devices)
        )
        fleets.append(Fleet(platform.broker.port, tenant, **options))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.die()


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # The browser's event loop lives in this thread, which Django takes for asynchronous code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, live_server: SimpleNamespace) -> Iterator[Page]:
    """A page that is to show no error and to ask nobody but the live server."""
    with watched(browser, live_server.url) as page:
        yield page
