"""A real Mosquitto for each module, with the accounts of the platform's own services."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from devices.brokers.mosquitto import book
from devices.brokers.mosquitto.comparison import State, compare
from devices.daemon.services import services
from devices.models import Device
from tests import cast as people
from tests.devices.brokers.fleet import SERVICES
from tests.servers import Mosquitto

ACCESS = {
    "MQTT_ACCESS": "mosquitto",
    "MQTT_INGEST_PASSWORD": SERVICES["ingestor@platform"],
    "MQTT_DISPATCH_PASSWORD": SERVICES["dispatcher@platform"],
}


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    directory = tmp_path_factory.mktemp("broker")
    file = directory / "dynamic-security.json"
    with override_settings(**ACCESS):
        write_first(file)
    with Mosquitto(directory, persistence=True, dynamic_security=file) as broker:
        yield broker


def write_first(file: Any) -> None:
    """Only the services are in it."""
    pages = book.Book()
    for difference in compare(State({}, {}, {}), [], services()).differences:
        for command in difference.plan.commands:
            pages.do(command)
    book.write(file, pages)


@pytest.fixture
def access(settings: Any) -> Any:
    """The settings of a platform that tells Mosquitto who may connect."""
    for name, value in ACCESS.items():
        setattr(settings, name, value)
    return settings


@pytest.fixture
def broker(access: Any, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Mosquitto:
    """The real broker, to which the settings lead; the database answers within an event loop."""
    access.MQTT_HOST, access.MQTT_PORT = mosquitto.host, mosquitto.port
    access.MQTT_PLATFORM_PORT = mosquitto.port
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    return mosquitto


@pytest.fixture
def dev(cast: Any) -> Device:
    """A device with an account of its own at the broker, which the tests of a module share."""
    return people.device(f"dev-{uuid.uuid4().hex[:8]}", cast.t0)
