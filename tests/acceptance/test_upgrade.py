"""From the release before to this one, with something in every table; and back again."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import connection
from django.db.migrations import AddIndex
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps

from accounts.models import Tenant
from devices.credentials.authenticating import authenticate
from devices.credentials.tokens import digest_of
from telemetry import partitions
from telemetry.counts import Tally
from tests import cast as people
from tests.acceptance.containers import Shell, fetch, working_on
from tests.acceptance.processes import Server
from tests.acceptance.test_backup import CASTS, publish

PREVIOUS = [
    ("accounts", "0007_history_indexes"),
    ("devices", "0014_counts_since"),
    ("telemetry", "0006_words"),
]
"""Where the release before was. With each release it moves on, and `fill` with it."""
OURS = tuple(app for app, _ in PREVIOUS)
LARGE = {"telemetry", "receipt", "rejectedmessage", "command", "commandtransition"}
"""Models whose tables have millions of rows."""
NAME = "upgraded"
NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=1)
COLUMNS = """
SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
FROM information_schema.columns JOIN pg_class ON relname = table_name
WHERE table_schema = 'public' AND NOT relispartition AND table_name <> 'django_migrations'
GROUP BY table_name
"""


def previous() -> list[tuple[str, str]]:
    """The last migrations of the release before; those of libraries are as they are."""
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    return [*PREVIOUS, *(leaf for leaf in leaves if leaf[0] not in OURS)]


def fill(models: StateApps, mark: str) -> None:
    """A row in every table as the release before writes it; two calls differ by their `mark`."""

    def make(label: str, **fields: Any) -> Any:
        return models.get_model(label).objects.create(**fields)

    tenant = make("accounts.Tenant", slug=f"t-{mark}", name="Tenant")
    person = make(
        "accounts.User", email=f"{mark}@t0.example", password=make_password(people.PASSWORD),
        role="operator", tenant=tenant, language="vi",
    )  # fmt: skip
    fill_accounts(make, person, mark)
    kind = make("devices.DeviceType", tenant=tenant, name="Pump", retention_days=30)
    device = make("devices.Device", device_uid=f"dev-{mark}", tenant=tenant, type=kind)
    # Which sets `counts_since`, that no model has.
    for device.is_enabled in (False, True):
        device.save(update_fields=["is_enabled"])
    # There is but one.
    models.get_model("devices.AlertWatch").objects.all().delete()
    make("devices.AlertWatch", id=1, checked_at=NOW, listening_since=NOW)
    fill_devices(make, tenant, device, person)
    fill_commands(make, tenant, device, person)
    fill_alerts(make, tenant, device)
    fill_telemetry(make, tenant, device)


def fill_accounts(make: Any, person: Any, mark: str) -> None:
    make("accounts.LoginAttempt", account=mark, address="10.0.0.1", at=NOW, succeeded=True)
    kind = make("contenttypes.ContentType", app_label=mark, model="thing")
    right = make("auth.Permission", content_type=kind, codename="see", name="See")
    group = make("auth.Group", name=mark)
    group.permissions.add(right)
    person.groups.add(group)
    person.user_permissions.add(right)
    make(
        "admin.LogEntry", user=person, content_type=kind, object_id="1", object_repr="A thing",
        action_flag=1, change_message="[]",
    )  # fmt: skip
    make("sessions.Session", session_key=mark, session_data="", expire_date=SOON)
    token = make(
        "token_blacklist.OutstandingToken", user=person, jti=mark, token=mark, expires_at=SOON
    )
    make("token_blacklist.BlacklistedToken", token=token)


def fill_devices(make: Any, tenant: Any, device: Any, person: Any) -> None:
    uid = device.device_uid
    make("devices.DeviceState", device=device, session="online", latest={"n": [1, 0]})
    make("devices.Heartbeat", name=uid, kind="ingestor", started_at=NOW, beat_at=NOW)
    make("devices.BrokerChange", device_uid=uid, tenant=tenant)
    key = make(
        "devices.EnrolmentKey", tenant=tenant, name="Lot", digest=uid.encode(), quota=3, uses=1,
        expires_at=SOON,
    )  # fmt: skip
    make("devices.Enrolment", device=device, key=key)
    credential = make(
        "devices.Credential", device=device, digest=digest_of(f"token of {uid}"), created_by=person
    )
    credential.gateway_for.add(device)


def fill_commands(make: Any, tenant: Any, device: Any, person: Any) -> None:
    batch = make(
        "devices.CommandBatch", tenant=tenant, cmd="reboot", target={"all": True}, expires_at=SOON,
        issued_by=person,
    )  # fmt: skip
    command = make(
        "devices.Command", tenant=tenant, device=device, batch=batch, cmd="reboot",
        params={"delay": 5}, issued_by=person, expires_at=SOON, idempotency_key="once",
    )  # fmt: skip
    make("devices.CommandTransition", command=command, status="queued")
    make("devices.DeviceQueue", device=device, look_at=NOW)


def fill_alerts(make: Any, tenant: Any, device: Any) -> None:
    rule = make("devices.AlertRule", tenant=tenant, name="Pumps", emails=["night@t0.example"])
    make(
        "devices.Alert", rule=rule, device=device, tenant=tenant, condition="silent", since=NOW,
        raised_at=NOW,
    )  # fmt: skip
    make(
        "devices.AlertNotice", rule=rule, kind="raised", channel="email", target="night@t0.example",
        at=NOW, next_at=NOW,
    )  # fmt: skip


def fill_telemetry(make: Any, tenant: Any, device: Any) -> None:
    partitions.make([partitions.week_of(NOW)])
    reading = {"device": device, "msg_id": "m1", "received_at": NOW}
    make("telemetry.Telemetry", **reading, ts=NOW, payload={"n": 1.5})
    make("telemetry.Receipt", **reading, digest=1)
    make(
        "telemetry.RejectedMessage", id=uuid.uuid4(), tenant=tenant, received_at=NOW, topic=b"t",
        payload=b"{", size=1, reason="number",
    )  # fmt: skip
    make("telemetry.BrokerSession", client_id=device.device_uid, filters=["+/devices/+/status"])
    make("telemetry.MessageCount", minute=NOW, tenant_id=tenant.id, writer=1, stored=3)


@dataclass
class Upgrade:
    """A database of the release before, filled, that was brought up to date."""

    shell: Shell
    old: StateApps
    columns: dict[str, str]
    before: dict[str, list[Any]]
    schema_before: str

    def rows(self) -> dict[str, list[Any]]:
        """What is in the columns that the release before had."""
        return {
            table: fetch(self.shell.server, NAME, f"SELECT {names} FROM {table}")
            for table, names in self.columns.items()
        }

    def schema(self) -> str:
        said = self.shell.must(f"pg_dump -U postgres --schema-only --restrict-key=same {NAME}")
        return CASTS.sub("", said)


def missing(upgrade: Upgrade) -> dict[str, list[Any]]:
    """The rows of the release before that are there no more, or not as they were."""
    now = upgrade.rows()
    gone = {
        table: [row for row in rows if row not in now[table]]
        for table, rows in upgrade.before.items()
    }
    return {table: rows for table, rows in gone.items() if rows}


@pytest.fixture(scope="module")
def upgrade(
    server: Server, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Upgrade]:
    shell = Shell(tmp_path_factory.mktemp("upgrade"), server.postgres)
    with server.connect() as admin:
        admin.execute(f"CREATE DATABASE {NAME}")
    with working_on(server.postgres, NAME, django_db_blocker.unblock()):
        targets = previous()
        MigrationExecutor(connection).migrate(targets)
        old = MigrationExecutor(connection).loader.project_state(targets).apps
        fill(old, "before")
        upgrade = Upgrade(shell, old, dict(fetch(server.postgres, NAME, COLUMNS)), {}, "")
        upgrade.before, upgrade.schema_before = upgrade.rows(), upgrade.schema()
        call_command("migrate", verbosity=0)
        yield upgrade
    with server.connect() as admin:
        admin.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_nothing_is_lost_from_any_table(upgrade: Upgrade) -> None:
    assert [table for table, rows in upgrade.before.items() if not rows] == []
    assert len(upgrade.before) > 30
    assert missing(upgrade) == {}


@pytest.mark.usefixtures("upgrade")
def test_people_and_devices_get_in_as_before() -> None:
    api = people.api(None)
    login = {"email": "before@t0.example", "password": people.PASSWORD}
    token = api.post("/auth/login", login).json()["access_token"]
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert [each["payload"] for each in api.get("/telemetry/dev-before").json()] == [{"n": 1.5}]
    assert authenticate("dev-before", "token of dev-before")


@pytest.mark.usefixtures("upgrade")
def test_ingest_goes_on() -> None:
    Tenant.objects.get_or_create(slug="t0")
    assert publish({"msg_id": "m1"}, {"msg_id": "m1"}, uid="dev-new") == Tally(1, duplicate=1)


def test_the_release_before_works_on_the_new_tables_meanwhile(upgrade: Upgrade) -> None:
    fill(upgrade.old, "meanwhile")
    read = [model for model in upgrade.old.get_models() if list(model._default_manager.all())]
    assert len(read) >= len(upgrade.before) - 5


@pytest.mark.usefixtures("upgrade")
def test_no_large_table_is_closed_while_an_index_is_made() -> None:
    loader = MigrationExecutor(connection).loader
    old = {key for target in PREVIOUS for key in loader.graph.forwards_plan(target)}
    new = [
        step for key, step in loader.disk_migrations.items() if key[0] in OURS and key not in old
    ]
    made = [each for step in new for each in step.operations if isinstance(each, AddIndex)]
    closed = [each.model_name for each in made if not isinstance(each, AddIndexConcurrently)]
    assert LARGE.isdisjoint(closed)


@pytest.mark.usefixtures("upgrade")
def test_the_migrations_say_all_that_the_models_do() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_it_goes_back_to_the_tables_of_the_release_before(upgrade: Upgrade) -> None:
    upgrade.before = upgrade.rows()
    MigrationExecutor(connection).migrate(PREVIOUS)
    assert upgrade.schema() == upgrade.schema_before
    assert missing(upgrade) == {}
