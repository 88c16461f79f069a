"""Whatever a person changes is in the history: who, what, and in words, never with a secret."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import reverse

from accounts.models import Tenant
from devices.models import DeviceType
from tests import cast as people
from tests.iotplatform.routes import id_in, rights

WRITES = ("POST", "PUT", "PATCH", "DELETE")
NEW_PASSWORD = "battery staple and more"
TOKEN = "a-token-that-it-had-before-it-came-0123456789"

API = {
    ("/auth/password", "POST"): {
        "current_password": people.PASSWORD,
        "new_password": NEW_PASSWORD,
    },
    ("/users", "POST"): {"email": "new@t0.example", "password": NEW_PASSWORD, "tenant": "t0"},
    ("/users/<pk>", "PATCH"): {"role": "operator", "password": NEW_PASSWORD},
    ("/tenants", "POST"): {"slug": "new", "name": "New"},
    ("/tenants/<slug>", "PATCH"): {"name": "Renamed"},
    ("/tenants/<slug>", "DELETE"): {},
    ("/devices", "POST"): {"device_uid": "new", "tenant": "t0"},
    ("/devices/<device_uid>", "PATCH"): {"name": "Roof"},
    ("/devices/<device_uid>", "DELETE"): {},
    ("/devices/<device_uid>/command", "POST"): {"cmd": "reboot"},
    ("/devices/<device_uid>/credentials", "POST"): {},
    ("/devices/<device_uid>/credentials/<id>", "PATCH"): {"gateway_for": ["dev-02"]},
    ("/devices/<device_uid>/credentials/<id>", "DELETE"): {},
    ("/credentials", "POST"): {"all": True, "tenant": "t0"},
    ("/commands", "POST"): {"cmd": "reboot", "all": True, "tenant": "t0"},
    ("/commands/<id>/cancel", "POST"): {},
    ("/command-batches/<id>/cancel", "POST"): {},
    ("/device-types", "POST"): {"name": "new", "tenant": "t0"},
    ("/device-types/<id>", "PATCH"): {"name": "renamed"},
    ("/device-types/<id>", "DELETE"): {},
    ("/enrolment-keys", "POST"): {
        "name": "new", "quota": 1, "expires_at": "9999-01-01", "tenant": "t0",
    },
    ("/enrolment-keys/<id>", "PATCH"): {"name": "renamed"},
    ("/enrolment-keys/<id>", "DELETE"): {},
    ("/import/devices", "POST"): [
        {"device_uid": "dev-01", "name": "Roof"}, {"device_uid": "new", "tenant": "t0"},
    ],
    ("/import/credentials", "POST"): [{"device_uid": "dev-01", "token": TOKEN}],
    ("/rejected/<pk>/replay", "POST"): {},
    ("/rejected/<pk>/resolve", "POST"): {},
}  # fmt: skip
"""What a person changes over the API, with what is sent for it."""
SECRETS = (NEW_PASSWORD, TOKEN, people.PASSWORD)


@pytest.fixture
def world(cast: SimpleNamespace, settings: Any) -> SimpleNamespace:
    """One of each kind of thing, and nothing in the history yet."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ENROLMENT = True
    cast.staff.set_password(people.PASSWORD)
    cast.staff.save()
    people.device("dev-02", cast.t0)
    cast.kind = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    cast.message = people.rejected(cast.t0, b'{"temp": 1}')
    cast.batch = people.batch(cast.t0)
    cast.command = people.command(cast.device)
    people.token(cast.device)
    cast.credential = cast.device.credentials.get()
    cast.key, cast.secret = people.enrolment_key(cast.t0, cast.admin)
    cast.empty = Tenant.objects.create(slug="empty", name="Empty")
    LogEntry.objects.all().delete()
    return cast


def address(world: SimpleNamespace, route: str) -> str:
    number = world.viewer.pk if route.startswith("/users") else world.message.pk
    parts = [("pk", number), ("id", id_in(world, route)), ("slug", "empty")]
    for name, value in [*parts, ("device_uid", "dev-01")]:
        route = route.replace(f"<{name}>", str(value))
    return route


def check_history(world: SimpleNamespace, after: str) -> None:
    """There are entries, all of the person, each about something, with words and no secret."""
    entries = LogEntry.objects.select_related("user", "content_type")
    assert entries, after
    for entry in entries:
        assert (entry.user, bool(entry.object_repr)) == (world.staff, True), after
        assert entry.is_deletion() or entry.get_change_message(), after
        said = f"{entry.object_repr} {entry.change_message}"
        assert not [each for each in (*SECRETS, world.secret) if each in said], after


def writes() -> set[tuple[str, str]]:
    """What people who are logged in may change over the API."""
    return {
        (route, method)
        for route, methods in rights().items()
        for method, right in methods.items()
        if method in WRITES and right.is_offered and right.role not in ("anyone", "device")
    }


def test_every_change_over_the_api_is_listed_here():
    assert writes() == set(API)


def test_every_change_over_the_api_is_in_the_history(world):
    for (route, method), sent in API.items():
        with transaction.atomic():
            client, text = people.api(world.staff), json.dumps(sent)
            answer = client.generic(method, address(world, route), text, "application/json")
            assert answer.status_code < 300, (method, route, answer.content)
            check_history(world, f"{method} {route}")
            transaction.set_rollback(True)


def test_a_request_that_is_repeated_is_in_the_history_once(world):
    client = people.api(world.staff)
    for path, sent in (
        ("/devices/dev-01/command", {"cmd": "reboot"}),
        ("/commands", {"cmd": "reboot", "all": True, "tenant": "t0"}),
    ):
        headers = {"Idempotency-Key": path.replace("/", ".")}
        for _ in range(2):
            assert client.post(path, sent, headers=headers).status_code == 202
    assert LogEntry.objects.count() == 2


def test_what_changes_nothing_is_not_in_the_history(world):
    client = people.api(world.staff)
    client.patch("/devices/dev-01", {"name": world.device.name})
    client.post("/import/devices", [{"device_uid": "dev-01"}])
    client.post("/import/devices?dry_run=true", [{"device_uid": "new"}])
    client.post("/commands?dry_run=true", {"cmd": "reboot", "all": True, "tenant": "t0"})
    for path in (f"/rejected/{world.message.pk}/resolve", f"/commands/{world.command.id}/cancel"):
        client.post(path)
    assert LogEntry.objects.count() == 2
    for path in (f"/rejected/{world.message.pk}/resolve", f"/commands/{world.command.id}/cancel"):
        client.post(path)
    assert LogEntry.objects.count() == 2


def page(name: str, *keys: Any) -> str:
    return reverse(f"admin:{name}", args=keys)


def forms(world: SimpleNamespace) -> dict[str, tuple[str, dict[str, Any]]]:
    """What a person changes on pages of the console: the page, and what is sent there."""
    w, passwords = world, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    own = {"old_password": people.PASSWORD, "new_password1": NEW_PASSWORD}
    user = {"email": "new@t0.example", "role": "viewer", "tenant": w.t0.pk}
    device = {
        "device_uid": "new",
        "name": "",
        "tenant": w.t0.pk,
        "is_enabled": "on",
        "labels": "{}",
    }
    kind = {"name": "other", "fields": "{}"}
    key = {"name": "new", "tenant": w.t0.pk, "life": 1, "unit": 3600, "quota": 1, "days": 1}
    csv = SimpleUploadedFile("devices.csv", b"device_uid,name,tenant\ndev-01,Roof,\nnew,New,t0\n")
    yes = {"post": "yes"}
    return {
        "own password": (page("password_change"), own | {"new_password2": NEW_PASSWORD}),
        "own language": (page("accounts_user_language"), {"language": "vi"}),
        "new user": (page("accounts_user_add"), user | passwords),
        "user": (page("accounts_user_change", w.viewer.pk), user | {"is_active": "on"}),
        "password": (page("auth_user_password_change", w.viewer.pk), passwords),
        "deleted user": (page("accounts_user_delete", w.viewer.pk), yes),
        "new tenant": (page("accounts_tenant_add"), {"slug": "new", "name": "New"}),
        "tenant": (page("accounts_tenant_change", w.t0.pk), {"name": "Renamed"}),
        "deleted tenant": (page("accounts_tenant_delete", w.empty.pk), yes),
        "new device": (page("devices_device_add"), device),
        "device": (page("devices_device_change", w.device.pk), {"name": "Roof", "labels": "{}"}),
        "deleted device": (page("devices_device_delete", w.device.pk), yes),
        "new type": (page("devices_devicetype_add"), kind),
        "type": (page("devices_devicetype_change", w.kind.pk), kind),
        "deleted type": (page("devices_devicetype_delete", w.kind.pk), yes),
        "imported devices": (page("devices_device_import"), {"file": csv, "import": "1"}),
        "new credential": (page("devices_device_credential", w.device.pk), {"overlap": 0}),
        "gateway": (
            page("devices_credential_gateway", w.device.pk, w.credential.pk),
            {"gateway_for": "dev-02"},
        ),
        "revoked credential": (
            page("devices_credential_revoke", w.device.pk, w.credential.pk), {},
        ),
        "new key": (page("devices_enrolmentkey_add"), key),
        "revoked key": (page("devices_enrolmentkey_revoke", w.key.pk), {}),
        "cancelled command": (page("devices_command_cancel", w.command.pk), {}),
        "cancelled batch": (page("devices_commandbatch_cancel", w.batch.pk), {}),
        "replayed": (page("telemetry_rejectedmessage_deal", w.message.pk), {"replay": ""}),
        "dealt with": (page("telemetry_rejectedmessage_deal", w.message.pk), {"resolve": ""}),
    }  # fmt: skip


def test_every_change_on_a_page_is_in_the_history(world):
    for what, (where, sent) in forms(world).items():
        with transaction.atomic():
            answer = people.console(world.staff).post(where, sent)
            assert answer.status_code in (200, 302), (what, answer.content)
            check_history(world, what)
            transaction.set_rollback(True)
