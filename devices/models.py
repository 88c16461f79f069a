"""Devices and what is known about each of them right now."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db import models

from accounts.models import SLUG_PATTERN, Tenant, User, validate_slug


class KnownDevice(NamedTuple):
    """The few facts about a device that ingest needs for every message."""

    id: int
    tenant_id: int
    tenant: str
    is_enabled: bool


class DeviceQuerySet(models.QuerySet["Device"]):
    def visible_to(self, user: User) -> "DeviceQuerySet":
        """Platform staff see every device, others those of their tenant; deleted ones nobody."""
        devices = self.filter(deleted_at__isnull=True)
        return devices if user.is_superuser else devices.filter(tenant=user.tenant_id)

    def known(self, uids: Iterable[str]) -> dict[str, KnownDevice]:
        """Uid → facts, for those of `uids` that exist (deleted ones too: they are not enabled)."""
        rows = self.filter(device_uid__in=list(uids)).values_list(
            "device_uid", "id", "tenant_id", "tenant__slug", "is_enabled"
        )
        return {uid: KnownDevice(*facts) for uid, *facts in rows}

    def register(self, unknown: Iterable[tuple[int, str]]) -> None:
        """Create devices that announced themselves, each given as (tenant id, uid).

        Sorted, so that two ingestors that meet the same new devices cannot deadlock; a device that
        another one just created is left as it is.
        """
        self.bulk_create(
            [
                Device(device_uid=uid, name=uid, tenant_id=tenant)
                for uid, tenant in sorted((uid, tenant) for tenant, uid in unknown)
            ],
            ignore_conflicts=True,
        )


class Device(models.Model):
    """One device. `device_uid` is unique over all tenants and is a level of its topics."""

    device_uid = models.CharField(
        "UID", max_length=128, unique=True, validators=[validate_slug], help_text="Never changes."
    )
    name = models.CharField(max_length=255, blank=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="devices")
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Messages of a disabled device are rejected, not stored."
    )
    labels = models.JSONField(default=dict, blank=True, help_text='For example {"site": "Hanoi"}.')
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering = ["device_uid"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(device_uid__regex=rf"^{SLUG_PATTERN}$"),
                name="device_uid_is_topic_level",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(is_enabled=False),
                name="device_deleted_is_disabled",
            ),
        ]

    def __str__(self) -> str:
        return self.device_uid


class Session(models.TextChoices):
    """Whether a device holds a connection to the broker, as far as it said so itself."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class DeviceState(models.Model):
    """What a device said last. Derived from its messages by `devices/state.py`; nobody edits it.

    `latest` maps a key to [value, epoch milliseconds of the reading it came with]; `latest_at` is the
    newest of those times. `since` and `reason` belong to `session`.
    """

    device = models.OneToOneField(
        Device, on_delete=models.CASCADE, primary_key=True, related_name="state"
    )
    last_seen_at = models.DateTimeField(null=True)
    latest = models.JSONField(default=dict)
    latest_at = models.DateTimeField(null=True)
    session = models.CharField(max_length=16, choices=Session.choices, default=Session.UNKNOWN)
    session_id = models.CharField(max_length=128, blank=True)
    since = models.DateTimeField(null=True)
    reason = models.CharField(max_length=255, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(session__in=Session.values), name="device_state_session_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.session}"
