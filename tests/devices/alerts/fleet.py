"""Devices as they were left minutes ago, and rules about them."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import Tenant
from devices.alerts import watching
from devices.models import (
    AlertRule,
    AlertWatch,
    Device,
    DeviceState,
    Heartbeat,
    ProcessKind,
)

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def ago(minutes: float) -> datetime:
    return timezone.now() - timedelta(minutes=minutes)


def listening(since: float = 1000, beat: float = 0, **detail: Any) -> None:
    """An ingestor that listens since some minutes, and a watch that knows that."""
    Heartbeat.objects.update_or_create(
        name="ingestor",
        defaults={
            "kind": ProcessKind.INGESTOR,
            "started_at": ago(since),
            "beat_at": ago(beat),
            "detail": detail,
        },
    )
    AlertWatch.objects.update_or_create(
        defaults={"checked_at": ago(0.5), "listening_since": ago(since), "deaf_since": None}
    )


def rule(tenant: Tenant, condition: str = "either", minutes: int = 10, **fields: Any) -> AlertRule:
    usual = {"name": "Pumps", "emails": ["night@t0.example"], "webhook_secret": SECRET}
    return AlertRule.objects.create(
        tenant=tenant, condition=condition, after_minutes=minutes, **usual | fields
    )


def state(device: Device, **fields: Any) -> None:
    """What is known of a device, times in minutes ago."""
    times = {"data_at", "since", "last_seen_at"}
    known = {name: ago(it) if name in times else it for name, it in fields.items()}
    DeviceState.objects.update_or_create(device=device, defaults=known)


def unchanged(since: float = 1000) -> None:
    """Devices are as people left them some minutes ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_device SET counts_since = %s", [ago(since)])


def look() -> watching.Found:
    """A round over all rules, and what it found with all of them."""
    watching.listen()
    found = [watching.look(rule) for rule in watching.rules()]
    return watching.Found(sum(it.raised for it in found), sum(it.cleared for it in found))
