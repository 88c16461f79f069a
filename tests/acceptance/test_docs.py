"""docs/api.md: every line of it is executed, every operation is on it, and it says what holds."""

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import logins
from accounts.models import Role, Tenant, User
from accounts.roles import LEAST_ROLE, allows
from devices.commands.replies import Reply, record
from devices.models import Alert, AlertRule, Command, Device
from iotplatform.demo import make_users
from telemetry import partitions
from telemetry.models import RejectedMessage, Telemetry
from tests import cast as people
from tests.acceptance.walkthrough import SERVER, commands, execute, walk
from tests.acceptance.web import serving
from tests.cast import NOON
from tests.iotplatform.document import operations
from tests.iotplatform.processes import ROOT
from tests.iotplatform.routes import rights
from tests.iotplatform.test_docker_guide import documents

FILE = ROOT / "docs" / "api.md"
PAGE = FILE.read_text()
STARTED = datetime.now(UTC)
FOR_OTHERS = ("/", "/docs", "/favicon.ico", "/internal/mqtt/auth", "/internal/mqtt/acl")
"""Of which the page says nothing: for browsers, and for a broker."""
ACTIONS = ("view", "add", "change", "delete")
VALUES = {"temperature": 61.5, "humidity": 40.2}


def fill() -> None:
    """The people of the demo, devices like its own, some readings and two rejected messages."""
    # The one of the migrations has the number that the next one would get.
    Tenant.objects.all().delete()
    t0 = Tenant.objects.create(slug="t0", name="t0")
    make_users()
    User.objects.update(created_at=NOON - timedelta(days=9))
    latest = {key: [value, int(NOON.timestamp() * 1000)] for key, value in VALUES.items()}
    heard = {"last_seen_at": NOON, "data_at": NOON, "data_since": NOON, "latest": latest}
    for number in range(1, 4):
        people.device(f"dev-0{number}", t0, session="online", since=NOON, **heard)
    Device.objects.update(created_at=NOON - timedelta(days=9), name=F("device_uid"))
    store_readings(Device.objects.get(device_uid="dev-01"))
    obey(Device.objects.get(device_uid="dev-02"))
    reject(t0, 1, b'{"temperature": NaN}', "not_finite", "NaN is not JSON.")
    reject(t0, 2, b'{"msg_id": "boot2:7", "temperature": 60}', "device_disabled", "")
    alarm(Device.objects.get(device_uid="dev-03"))


def alarm(device: Device) -> None:
    """An alert, raised a quarter of an hour after its silence began at NOON."""
    rule = AlertRule.objects.create(tenant=device.tenant, name="Halls")
    raised = NOON + timedelta(minutes=15)
    Alert.objects.create(
        rule=rule, device=device, tenant=device.tenant, condition="silent", since=NOON,
        raised_at=raised,
    )  # fmt: skip


def store_readings(device: Device) -> None:
    """One a minute until NOON, without some in the middle."""
    partitions.make([partitions.week_of(NOON), partitions.week_of(timezone.now())])
    for minute in (15, 14, 13, 12, 11, 4, 3, 2, 1, 0):
        at = NOON - timedelta(minutes=minute)
        payload = VALUES | {"temperature": VALUES["temperature"] - minute / 10}
        Telemetry.objects.create(
            device=device, ts=at, received_at=at, msg_id=f"boot1:{115 - minute}", payload=payload
        )


def obey(device: Device) -> None:
    """A command that the device carried out, a second after it was sent at NOON."""
    command = people.command(device, User.objects.get(email="operator@example.com"))
    done = NOON + timedelta(seconds=1)
    reply = Reply(device.pk, command.id, "ok", {"uptime": 1}, "", done)
    with transaction.atomic(), connection.cursor() as cursor:
        record(cursor, [reply])
    Command.objects.update(
        id="00000000-0000-4000-8000-000000000003",
        created_at=NOON,
        claimed_at=NOON,
        sent_at=NOON,
        expires_at=NOON + timedelta(days=1),
    )


def reject(tenant: Tenant, number: int, payload: bytes, reason: str, detail: str) -> None:
    RejectedMessage.objects.create(
        id=f"00000000-0000-4000-8000-{number:012}",
        tenant=tenant,
        device_uid="dev-03",
        topic=b"t0/devices/dev-03/telemetry",
        payload=payload,
        size=len(payload),
        reason=reason,
        detail=detail,
        received_at=timezone.now(),
    )


@pytest.fixture
def server(tmp_path: Path, django_db_reset_sequences: None) -> Iterator[str]:
    fill()
    with serving(tmp_path, DEBUG="1", AUTH_DEMO="1", ENROLMENT="1") as address:
        yield address


@pytest.mark.curl
def test_every_answer_on_the_page_is_what_a_server_says_now(server: str, tmp_path: Path) -> None:
    page = walk(PAGE, server, STARTED, tmp_path)
    if os.environ.get("WRITE_DOCS"):
        FILE.write_text(page)
    else:
        assert page == PAGE, "“make docs” brings the page up to date."


@pytest.mark.curl
def test_the_first_calls_in_the_readme_work(server: str, tmp_path: Path) -> None:
    calls = next(each for each in commands((ROOT / "README.md").read_text()) if "curl" in each)
    said = execute(calls.replace(SERVER, server), tmp_path)
    devices, readings = documents(said)
    assert [device["device_uid"] for device in devices] == ["dev-01", "dev-02", "dev-03"]
    assert [reading["device_uid"] for reading in readings] == ["dev-01"] * 3


def requests() -> set[tuple[str, str]]:
    """(method, path) of everything that the page asks for."""
    text = "".join(commands(PAGE)).replace("\\\n", " ")
    calls = re.findall(r'curl\b([^"\n]*)"\$API(/[^"?]*)([^|\n]*)', text)
    return {(method_of(before + after), path) for before, path, after in calls}


def method_of(options: str) -> str:
    if asked := re.search(r"-X (\w+)", options):
        return asked[1]
    return "POST" if re.search(r" (-d|--data-binary) ", options) else "GET"


def test_the_page_shows_every_method_of_every_route() -> None:
    asked = requests()
    offered = {
        (method, route)
        for route, methods in rights().items()
        for method, right in methods.items()
        if right.is_offered and method not in ("HEAD", "OPTIONS") and route not in FOR_OTHERS
    }
    assert not [
        (method, route)
        for method, route in offered
        if not any(is_at(route, path) for other, path in asked if other == method)
    ]


def is_at(route: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"<\w+>", "[^/]+", route), path))


def test_what_fails_on_the_page_is_meant_to_and_shows_its_status() -> None:
    assert re.findall(r"^HTTP/1.1 ([45]\d\d)", PAGE, re.MULTILINE) == ["400", "400", "401"]
    assert PAGE.count('"type": "about:blank"') == 3


def test_the_page_names_every_parameter() -> None:
    names = {
        parameter["name"]
        for _, operation in operations()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    assert not [name for name in names if not re.search(rf"`{name}[`=]", PAGE)]


def test_the_page_has_the_table_of_roles() -> None:
    heading = ["", "| | see | create | change | delete |", "|---|---|---|---|---|"]
    assert "\n".join([*heading, *map(line_of, models_in_table()), ""]) in PAGE


def models_in_table() -> Iterable[str]:
    """In the order of the table, as `app.model`."""
    return dict.fromkeys(re.sub(r"\.[a-z]+_", ".", name) for name in LEAST_ROLE)


def line_of(model: str) -> str:
    least = [least_role(model, action) for action in ACTIONS]
    return f"| {' | '.join([str(apps.get_model(model)._meta.verbose_name_plural), *least])} |"


def least_role(model: str, action: str) -> str:
    app, _, name = model.partition(".")
    return next((role for role in Role if allows(role, f"{app}.{action}_{name}")), "staff")


def test_the_page_says_how_often_one_may_try_to_log_in() -> None:
    said = " ".join(PAGE.split())
    limits = {
        "for one account from one address": logins.FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT,
        "from one address": logins.FROM_ONE_ADDRESS,
        "for one account": logins.FOR_ONE_ACCOUNT,
    }
    for what, (failures, time) in limits.items():
        assert f"{failures} within {time.seconds // 60} minutes {what}" in said
