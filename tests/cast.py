"""The people and devices that tests are about: two tenants, and one person of each kind."""

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Role, Tenant, User
from devices.commands.sending import Order, send, send_to_many
from devices.credentials.issuing import Terms, issue
from devices.enrolment.keys import Made, make
from devices.models import Alert, AlertRule, Command, CommandBatch, Device, DeviceState
from telemetry import partitions
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason

PASSWORD = "correct horse battery"
ACTORS = ("viewer", "operator", "admin", "stranger", "staff")
# A Wednesday noon: an hour more or less stays in the week, and so in one partition.
NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


def cast() -> SimpleNamespace:
    """Tenant `t0` with a viewer, an operator, an admin and a device; `other` with its admin, the
    `stranger`, and a device; `staff`, who is a superuser."""
    t0 = Tenant.objects.get_or_create(slug="t0", defaults={"name": "t0"})[0]
    other = Tenant.objects.create(slug="other", name="Other Ltd")
    people = {role.value: new_user(f"{role}@t0.example", t0, role) for role in Role}
    people["stranger"] = new_user("stranger@other.example", other, Role.ADMIN)
    people["staff"] = new_user("staff@example.com", None, Role.ADMIN, is_superuser=True)
    devices = {"device": new_device("dev-01", t0), "foreign": new_device("foreign-01", other)}
    # Optimization: thousands of tests begin here, so there is one statement for each kind of row.
    User.objects.bulk_create(people.values())
    Device.objects.bulk_create(devices.values())
    return SimpleNamespace(t0=t0, other=other, **people, **devices)


def user(email: str, tenant: Tenant | None, role: str = Role.VIEWER, **fields: Any) -> User:
    """Somebody with `password`; without one, with a password that nobody knows."""
    if "password" in fields:
        return User.objects.create_user(email, tenant=tenant, role=role, **fields)
    made = new_user(email, tenant, role, **fields)
    made.save()
    return made


def new_user(email: str, tenant: Tenant | None, role: str, **fields: Any) -> User:
    password = "the hash of no password"
    return User(email=email, tenant=tenant, role=role, password=password, **fields)


def device(uid: str, tenant: Tenant, **state: Any) -> Device:
    """A device; with `state`, one that was heard."""
    made = new_device(uid, tenant)
    made.save()
    if state:
        DeviceState.objects.create(device=made, **state)
    return made


def new_device(uid: str, tenant: Tenant) -> Device:
    return Device(device_uid=uid, name=f"Device {uid}", tenant=tenant)


def reading(device: Device, at: datetime = NOON, **payload: Any) -> Telemetry:
    partitions.make([partitions.week_of(at)])
    return Telemetry.objects.create(
        device=device, ts=at, msg_id=uuid.uuid4().hex, received_at=at, payload=payload
    )


def readings(device: Device, count: int, every: timedelta = timedelta(minutes=1)) -> None:
    """`count` readings back from NOON, with n = 0 for the newest."""
    times = [NOON - every * number for number in range(count)]
    partitions.make({partitions.week_of(at) for at in times})
    Telemetry.objects.bulk_create(
        Telemetry(device=device, ts=at, msg_id=f"m{n}", received_at=at, payload={"n": n})
        for n, at in enumerate(times)
    )


def rejected(tenant: Tenant | None, payload: bytes = b"{}", **fields: Any) -> RejectedMessage:
    slug = tenant.slug if tenant else "nobody"
    fields = {
        "device_uid": "dev-01",
        "topic": f"{slug}/devices/dev-01/telemetry".encode(),
        "reason": Reason.DEVICE_DISABLED,
        "received_at": timezone.now(),
        **fields,
    }
    return RejectedMessage.objects.create(
        id=uuid.uuid4(), tenant=tenant, payload=payload, size=len(payload), **fields
    )


def command(device: Device, by: User | None = None, **fields: Any) -> Command:
    """A command to `device`, queued through the door unless `fields` say how it is."""
    made = send(Order("reboot", {"delay": 5}), device, by).what
    if fields:
        Command.objects.filter(pk=made.pk).update(**fields)
    return Command.objects.get(pk=made.pk)


def batch(tenant: Tenant, by: User | None = None, cmd: str = "reboot") -> CommandBatch:
    """A command to all devices of a tenant."""
    devices = Device.objects.filter(tenant=tenant, deleted_at=None)
    made: CommandBatch = send_to_many(Order(cmd, {}), devices, tenant, {"all": True}, by).what
    return made


def token(device: Device, by: User | None = None, **terms: Any) -> str:
    """The token of a new credential of a device; `terms` are those of `issuing.Terms`."""
    return issue([device], by, Terms(**terms))[0].token


def alert(device: Device, **fields: Any) -> Alert:
    """An open alert of a device that is silent for an hour, by a rule with both addresses."""
    rule = AlertRule.objects.create(
        tenant=device.tenant,
        name="Pumps",
        emails=["night@t0.example"],
        webhook_url="https://hooks.example.com/alerts",
        webhook_secret="whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    )
    now = timezone.now()
    usual = {"condition": "silent", "since": now - timedelta(hours=1), "raised_at": now}
    return Alert.objects.create(rule=rule, device=device, tenant=device.tenant, **usual | fields)


def enrolment_key(tenant: Tenant, by: User, **fields: Any) -> Made:
    """A key of a tenant for ten devices, unless `fields` say otherwise."""
    usual = {"name": "Lot 7", "quota": 10, "expires_at": timezone.now() + timedelta(days=1)}
    return make(by, tenant=tenant, **usual | fields)


def console(user: User, **options: Any) -> Client:
    """A browser in which `user` is logged in."""
    client = Client(**options)
    # Optimization: `force_login` sends thirteen statements, this four.
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return client


def api(user: User | None) -> APIClient:
    """An app that works for `user`, with a token of theirs; without one for None."""
    client = APIClient()
    if user:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
    return client
