"""Devices and what is known about each of them right now."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils import timezone

from accounts.models import SLUG_PATTERN, Tenant, User, validate_slug
from devices.representation import DEVICE_JSON


class KnownDevice(NamedTuple):
    """The few facts about a device that ingest needs for every message."""

    id: int
    tenant_id: int
    tenant: str
    is_enabled: bool


KNOWN = """
SELECT device_uid, device.id, tenant_id, slug, is_enabled
FROM devices_device AS device JOIN accounts_tenant AS tenant ON tenant.id = tenant_id
WHERE device_uid = ANY(string_to_array(%s, ','))
"""


class DeviceQuerySet(models.QuerySet["Device"]):
    def visible_to(self, user: User) -> "DeviceQuerySet":
        """Platform staff see every device, others those of their tenant; deleted ones nobody."""
        devices = self.filter(deleted_at__isnull=True)
        return devices if user.is_superuser else devices.filter(tenant=user.tenant_id)

    def as_json(self) -> "DeviceQuerySet":
        """With `json`, the device as the API shows it (`devices/serializers.py` describes it)."""
        return self.annotate(json=DEVICE_JSON)

    def in_session(self, session: "Session") -> "DeviceQuerySet":
        """Devices whose session is `session`; it is unknown of a device that was never heard."""
        known = models.Q(state__session=session)
        unheard = models.Q(state__isnull=True)
        return self.filter(known | unheard if session == Session.UNKNOWN else known)

    def retire(self) -> int:
        """Delete the devices for everybody: out of sight and refused from now on.

        `maintain` erases them and their readings later. Returns how many there were.
        """
        return self.update(is_enabled=False, deleted_at=timezone.now())

    def known(self, uids: Collection[str]) -> dict[str, KnownDevice]:
        """Uid → facts, for those of `uids` that exist (deleted ones too: they are not enabled).

        Optimization: one text, in which no uid has a comma; thousands of parameters cost more than
        the rows.
        """
        with connection.cursor() as cursor:
            cursor.execute(KNOWN, [",".join(uids)])
            return {uid: KnownDevice(*facts) for uid, *facts in cursor.fetchall()}

    def register(self, unknown: Iterable[tuple[int, str]]) -> None:
        """Create devices that announced themselves, each given as (tenant id, uid).

        Sorted, so that two ingestors that meet the same new devices cannot deadlock; a device that
        another one just created is left as it is.
        """
        self.bulk_create(
            [
                self.model(device_uid=uid, name=uid, tenant_id=tenant)
                for uid, tenant in sorted((uid, tenant) for tenant, uid in unknown)
            ],
            ignore_conflicts=True,
        )


def validate_labels(labels: Any) -> None:
    """Labels are an object of strings that PostgreSQL can keep."""
    if not isinstance(labels, dict):
        raise ValidationError('Use an object such as {"site": "Hanoi"}.')
    for text in (*labels.keys(), *labels.values()):
        if not isinstance(text, str):
            raise ValidationError("Put every value in quotes: labels are texts.")
        # jsonb refuses NUL and half of a surrogate pair, which JSON can spell.
        if "\0" in text or text != text.encode(errors="replace").decode():
            raise ValidationError("Remove the characters that are not text.")


class DeviceTypeQuerySet(models.QuerySet["DeviceType"]):
    def visible_to(self, user: User) -> "DeviceTypeQuerySet":
        """Platform staff see every type, others their tenant's and those shared by all tenants."""
        if user.is_superuser:
            return self
        return self.filter(models.Q(tenant=user.tenant_id) | models.Q(tenant__isnull=True))


class DeviceType(models.Model):
    """What devices of one make have in common. Without a tenant it is shared by all of them."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="device_types"
    )
    name = models.CharField(max_length=128)
    offline_after = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds without a reading after which a device is silent."
    )
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Days that readings are kept, if fewer than the platform keeps them.",
    )
    fields = models.JSONField(
        default=dict,
        blank=True,
        help_text='What keys mean: {"temp": {"label": "Temperature", "unit": "°C", "min": -40}}.',
    )

    objects = DeviceTypeQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"], nulls_distinct=False, name="device_type_name_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(offline_after__gt=0) & models.Q(retention_days__gt=0),
                name="device_type_times_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Device(models.Model):
    """One device. `device_uid` is unique over all tenants and is a level of its topics."""

    device_uid = models.CharField(
        "UID", max_length=128, unique=True, validators=[validate_slug], help_text="Never changes."
    )
    name = models.CharField(max_length=255, blank=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="devices")
    type = models.ForeignKey(
        DeviceType, on_delete=models.PROTECT, null=True, blank=True, related_name="devices"
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Messages of a disabled device are rejected, not stored."
    )
    labels = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_labels],
        help_text='For example {"site": "Hanoi"}.',
    )
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

    `latest` maps a key to [value, epoch milliseconds of the reading it came with]; `latest_at` is
    the newest of those times. `since` and `reason` belong to `session`.
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
