"""A client made from the published document by openapi-python-client works as its users expect."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests import cast as people
from tests.cast import NOON

pytestmark = pytest.mark.django_db(transaction=True)
PACKAGE = "generated_client"
KNOWN = 2 * ["Unsupported content type text/csv"]
"""It makes no functions for sending CSV files; the same rows as JSON it can send."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the client, which is made from what the platform publishes."""
    directory = tmp_path_factory.mktemp("client")
    (directory / "schema.json").write_bytes(people.api(None).get("/schema?format=json").content)
    said = generate(directory)
    assert re.findall(r"^(?:WARNING|ERROR).*\n\n(.*)", said, re.MULTILINE) == KNOWN, said
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        yield lambda name: import_module(f"{PACKAGE}.{name}")


def generate(directory: Path) -> str:
    """What the generator said."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [
            *(programs / "openapi-python-client", "generate", "--meta", "none"),
            *("--path", directory / "schema.json", "--output-path", directory / PACKAGE),
        ],
        # It tidies up with ruff.
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def url(cast: SimpleNamespace, live_server: SimpleNamespace) -> str:
    """A server on which there is a device with readings, and an operator with a password."""
    cast.operator.set_password(people.PASSWORD)
    cast.operator.save()
    people.device("dev-02", cast.t0, last_seen_at=NOON, latest={"temp": [21.5, 1.7e12]})
    for minutes in (1, 2, 6):
        people.reading(cast.device, NOON - timedelta(minutes=minutes), temp=20 + minutes)
    return str(live_server.url)


@pytest.fixture
def models(generated: Callable[[str], ModuleType]) -> ModuleType:
    return generated("models")


@pytest.fixture
def call(
    generated: Callable[[str], ModuleType], models: ModuleType, url: str
) -> Iterator[Callable[..., Any]]:
    """Calls an operation, by its tag and name, as the operator; what it returns is parsed."""
    clients = generated("client")
    who = models.LoginRequest(email="operator@t0.example", password=people.PASSWORD)
    log_in = generated("api.auth.auth_login").sync
    with clients.Client(base_url=url) as door:
        token = log_in(client=door, body=who).access_token
    # A connection that stays open would keep one to the database open as well.
    with clients.AuthenticatedClient(base_url=url, token=token) as client:
        yield lambda name, *given, **options: generated(f"api.{name}").sync(
            *given, client=client, **options
        )


def test_it_lists_devices_and_reads_what_they_sent(call):
    devices = call("devices.devices_list")
    assert [device.device_uid for device in devices] == ["dev-01", "dev-02"]
    assert devices[1].latest["temp"] == [21.5, 1.7e12]
    readings = call("telemetry.telemetry_list", "dev-01", limit=2)
    assert [reading.ts for reading in readings] == [NOON - timedelta(minutes=n) for n in (1, 2)]
    assert [reading.payload["temp"] for reading in readings] == [21, 22]


def test_it_reads_numbers_over_time(call):
    found = call(
        "telemetry.telemetry_series",
        "dev-01",
        keys="temp",
        agg="avg,count",
        interval="5m",
        from_=NOON - timedelta(minutes=10),
        to=NOON,
    )
    assert found.series["temp"]["avg"] == [26, 21.5]
    assert found.series["temp"]["count"] == [1, 2]
    assert found.ts == [NOON - timedelta(minutes=10), NOON - timedelta(minutes=5)]


def test_it_creates_a_device_and_is_told_in_words_that_there_is_one(call, models):
    wanted = models.DeviceRequest(device_uid="dev-03", name="Roof")
    assert call("devices.devices_create", body=wanted).name == "Roof"
    problem = call("devices.devices_create", body=wanted)
    assert isinstance(problem, models.Problem)
    assert (problem.status, problem.code) == (409, "conflict")
    assert problem.detail.startswith("This UID is taken")


def test_it_is_told_which_field_is_at_fault(call, models):
    labels = models.DeviceRequestLabels.from_dict({"a:b": "c"})
    problem = call(
        "devices.devices_create", body=models.DeviceRequest(device_uid="x", labels=labels)
    )
    assert [(fault.field, problem.status) for fault in problem.errors] == [("labels", 400)]


def test_it_changes_and_deletes_a_device(call, models):
    change = models.PatchedDeviceChangeRequest(is_enabled=False)
    assert call("devices.devices_partial_update", "dev-02", body=change).is_enabled is False
    call("devices.devices_destroy", "dev-02")
    assert call("devices.devices_retrieve", "dev-02").status == 404


def test_it_saves_files(call):
    assert "dev-01,Device dev-01,t0" in call("devices.devices_export")
    assert call("telemetry.telemetry_export", "dev-01").count("\n") == 4


def test_it_sends_a_command_once_however_often_and_follows_it(call, models):
    order = models.OrderRequest(
        cmd="reboot", params=models.OrderRequestParamsType0.from_dict({"n": 1})
    )
    first, again = (
        call("commands.commands_send", "dev-01", body=order, idempotency_key="key-1")
        for _ in range(2)
    )
    assert (again.id, again.ok, again.params["n"]) == (first.id, True, 1)
    shown = call("commands.commands_retrieve", first.id)
    assert [(step.status, step.by) for step in shown.transitions] == [
        ("queued", "operator@t0.example")
    ]
    assert call("commands.commands_cancel", first.id).status == "cancelled"
    cancelled = models.CommandsOfDeviceListStatus.CANCELLED
    (listed,) = call("commands.commands_of_device_list", "dev-01", status=cancelled)
    assert listed.id == first.id


def test_it_sends_to_many_and_is_told_what_it_would_do_before(call, models):
    order = models.OrderToManyRequest(cmd="reboot", device_uids=["dev-01", "dev-02"])
    assert call("commands.commands_send_many", body=order, dry_run=True).total == 2
    batch = call("commands.commands_send_many", body=order)
    assert (batch.total, batch.counts.queued) == (2, 2)
    assert len(call("commands.commands_list", batch=batch.id)) == 2
    assert call("commands.command_batches_cancel", batch.id).counts.cancelled == 2
    (listed,) = call("commands.command_batches_list")
    whole = call("commands.command_batches_retrieve", batch.id)
    assert listed.counts.to_dict() == whole.counts.to_dict()
