"""Devices, their types, and what is known about each device right now."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection, models, transaction
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import SLUG_PATTERN, Tenant, User, validate_retention, validate_slug
from devices.facts import (
    DATA_FLOW,
    DATA_FLOW_REASON,
    DATA_FLOW_SINCE,
    SESSION_REASON,
    DataFlow,
)
from devices.models.broker import BrokerChange
from devices.representation import DEVICE_JSON
from devices.validation import validate_fields, validate_labels

TAKEN = _("This UID is taken, perhaps by a deleted device whose readings are not erased yet.")
TYPE_TAKEN = _("There is a device type of this name already, the tenant's own or a shared one.")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the time of a message that has not come, where times are put in order."""
LONGEST_SILENCE = 366 * 24 * 3600


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


NAME_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('device type ' || %s, 0))"

VISIBLE_DEVICE = "(deleted_at IS NULL AND (tenant_id = %(tenant)s OR %(all_tenants)s))"
"""`DeviceQuerySet.visible_to` for a statement that is written by hand; needs `visibility`."""


def visibility(user: User) -> dict[str, Any]:
    """The parameters of VISIBLE_DEVICE."""
    return {"tenant": user.works_in_id, "all_tenants": user.sees_all_tenants}


class DeviceQuerySet(models.QuerySet["Device"]):
    def visible_to(self, user: User) -> "DeviceQuerySet":
        """Platform staff see every device, others those of their tenant; deleted ones nobody."""
        devices = self.filter(deleted_at__isnull=True)
        return devices if user.sees_all_tenants else devices.filter(tenant=user.works_in_id)

    def as_json(self) -> "DeviceQuerySet":
        """With `json`, the device as the API shows it (`devices/serializers.py` describes it)."""
        return self.annotate(json=DEVICE_JSON)

    def with_facts(self) -> "DeviceQuerySet":
        """With why the session is what it is, and whether readings come, since when and why."""
        return self.annotate(
            session_reason=SESSION_REASON,
            data_flow=DATA_FLOW,
            data_flow_since=DATA_FLOW_SINCE,
            data_flow_reason=DATA_FLOW_REASON,
        )

    def in_flow(self, flow: DataFlow) -> "DeviceQuerySet":
        """Devices whose readings come, or do not, or nobody knows."""
        return self.alias(flow=DATA_FLOW).filter(flow=flow.value)

    def in_session(self, session: "Session") -> "DeviceQuerySet":
        """Devices whose session is `session`; it is unknown of a device that was never heard."""
        known = models.Q(state__session=session)
        unheard = models.Q(state__isnull=True)
        return self.filter(known | unheard if session == Session.UNKNOWN else known)

    def in_order(self, order: str) -> "DeviceQuerySet":
        """By one of `Device.ORDERS`, with “-” the other way round; a total order free of null.

        Devices that were never heard come before all others by `last_seen_at`.
        """
        sign, name = order[: order.startswith("-")], order.removeprefix("-")
        if name == "device_uid":
            return self.order_by(order)
        if name == "last_seen_at":
            seen = Coalesce("state__last_seen_at", Value(NEVER))
            return self.annotate(seen=seen).order_by(f"{sign}seen", f"{sign}device_uid")
        return self.order_by(order, f"{sign}device_uid")

    @transaction.atomic
    def retire(self) -> list[int]:
        """Delete the devices for everybody: out of sight and refused from now on.

        `maintain` erases them and their readings later; a type of theirs can be deleted at once.
        Returns the numbers of those that nobody had deleted.
        """
        # In one order, which is that of an import: of two at once one waits, and neither fails.
        devices = self.model.objects.filter(pk__in=self.values("pk")).order_by("pk")
        locked = list(devices.select_for_update(no_key=True).values_list("pk", flat=True))
        # Not before: who held a lock may have deleted some.
        remaining = self.model.objects.filter(pk__in=locked, deleted_at__isnull=True)
        numbers = list(remaining.order_by("pk").values_list("pk", flat=True))
        BrokerChange.objects.note(numbers, with_gateways=True)
        remaining.update(is_enabled=False, deleted_at=timezone.now(), type=None)
        return numbers

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


class DeviceTypeQuerySet(models.QuerySet["DeviceType"]):
    def visible_to(self, user: User) -> "DeviceTypeQuerySet":
        """Platform staff see every type, others their tenant's and those shared by all tenants."""
        return self if user.sees_all_tenants else self.usable_by(user.works_in_id)

    def usable_by(self, tenant_id: int | None) -> "DeviceTypeQuerySet":
        """The types that devices of a tenant may have: its own and the shared ones."""
        return self.filter(models.Q(tenant=tenant_id) | models.Q(tenant__isnull=True))

    def named(self, name: str, tenant_id: int | None) -> "DeviceType | None":
        """The type that devices of a tenant have if they say `name`; its own goes first."""
        types = self.usable_by(tenant_id).filter(name=name)
        return types.order_by(models.F("tenant").asc(nulls_last=True)).first()


class DeviceType(models.Model):
    """What devices of one make have in common. Without a tenant it is shared by all of them."""

    tenant = models.ForeignKey(
        Tenant,
        verbose_name=_("tenant"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="device_types",
    )
    name = models.CharField(_("name"), max_length=128)
    offline_after = models.PositiveIntegerField(
        _("silent after (seconds)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_SILENCE)],
        help_text=_("Seconds without a reading after which a device is silent."),
    )
    retention_days = models.PositiveIntegerField(
        _("retention days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), validate_retention],
        help_text=_(
            "Days that readings are kept, if fewer than the tenant has them kept, and the platform."
        ),
    )
    fields = models.JSONField(
        _("fields"),
        default=dict,
        blank=True,
        validators=[validate_fields],
        help_text=_(
            'What keys mean: {"temp": {"label": "Temperature", "unit": "°C", "min": -40}}.'
        ),
    )

    objects = DeviceTypeQuerySet.as_manager()

    class Meta:
        verbose_name = _("device type")
        verbose_name_plural = _("device types")
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

    @property
    def is_shared(self) -> bool:
        return self.tenant_id is None

    def is_name_taken(self) -> bool:
        """Whether devices that say this name could mean another type.

        In a transaction the answer holds until its end: nobody else gets one about this name.
        """
        with connection.cursor() as cursor:
            cursor.execute(NAME_LOCK, [self.name])
        others = DeviceType.objects.filter(name=self.name).exclude(pk=self.pk)
        return (others if self.is_shared else others.usable_by(self.tenant_id)).exists()

    def clean(self) -> None:
        if self.is_name_taken():
            raise ValidationError({"name": TYPE_TAKEN})


class Device(models.Model):
    """One device. `device_uid` is unique over all tenants and is a level of its topics."""

    ORDERS = ("device_uid", "name", "last_seen_at", "created_at")

    device_uid = models.CharField(
        _("UID"),
        max_length=128,
        unique=True,
        validators=[validate_slug],
        help_text=_("Never changes."),
    )
    name = models.CharField(_("name"), max_length=255, blank=True)
    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.PROTECT, related_name="devices"
    )
    type = models.ForeignKey(
        DeviceType,
        verbose_name=_("type"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="devices",
    )
    is_enabled = models.BooleanField(
        _("enabled"),
        default=True,
        help_text=_(
            "Messages of a disabled device are rejected, not stored; where the broker asks for a "
            "token it cannot connect."
        ),
    )
    labels = models.JSONField(
        _("labels"),
        default=dict,
        blank=True,
        validators=[validate_labels],
        help_text=_('For example {"site": "Hanoi"}.'),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    deleted_at = models.DateTimeField(_("deleted at"), null=True, blank=True, editable=False)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering = ["device_uid"]
        indexes = [
            # GET /devices: a tenant's devices by uid, page by page.
            models.Index(
                fields=["tenant", "device_uid"],
                name="device_by_tenant",
                condition=models.Q(deleted_at__isnull=True),
            ),
            # GET /devices?label=site:Hanoi and ?label=site. Not jsonb_path_ops: those do not know
            # the second one.
            GinIndex(fields=["labels"], name="device_by_label"),
        ]
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

    def clean(self) -> None:
        usable = DeviceType.objects.usable_by(self.tenant_id)
        if self.type_id and not usable.filter(pk=self.type_id).exists():
            raise ValidationError(
                {"type": _("Choose a type of the device's tenant, or a shared one.")}
            )


class Session(models.TextChoices):
    """Whether a device holds a connection to the broker, as far as it said so itself."""

    ONLINE = "online", _("Online")
    OFFLINE = "offline", _("Offline")
    UNKNOWN = "unknown", _("Unknown")


class DeviceState(models.Model):
    """What a device said last. Derived from its messages by `devices/state.py`; nobody edits it.

    `latest` maps a key to [value, epoch milliseconds of the reading it came with]; `latest_at` is
    the newest of those times. `since` and `reason` belong to `session`. `data_at` is when the last
    readings came, `data_since` since when they come without a pause longer than the type's
    `offline_after`.
    """

    device = models.OneToOneField(
        Device,
        verbose_name=_("device"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="state",
    )
    last_seen_at = models.DateTimeField(_("last seen at"), null=True)
    latest = models.JSONField(_("latest"), default=dict)
    latest_at = models.DateTimeField(_("latest at"), null=True)
    session = models.CharField(
        _("session"), max_length=16, choices=Session.choices, default=Session.UNKNOWN
    )
    session_id = models.CharField(_("session id"), max_length=128, blank=True)
    since = models.DateTimeField(_("since"), null=True)
    reason = models.CharField(_("reason"), max_length=255, blank=True)
    data_at = models.DateTimeField(_("data at"), null=True)
    data_since = models.DateTimeField(_("data since"), null=True)

    class Meta:
        verbose_name = _("device state")
        verbose_name_plural = _("device states")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(session__in=Session.values), name="device_state_session_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.session}"
