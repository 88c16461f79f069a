"""History of the fleet: readings, the receipts that make them unique, and rejected messages."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from devices.models import Device
from telemetry.reasons import Reason

MSG_ID_LENGTH = 64


class TelemetryQuerySet(models.QuerySet["Telemetry"]):
    def visible_to(self, user: User) -> "TelemetryQuerySet":
        """Readings of the devices that `user` can see."""
        return self.filter(device__in=Device.objects.visible_to(user))

    def of(self, device: Device) -> "TelemetryQuerySet":
        return self.filter(device=device)

    def between(self, start: datetime | None, end: datetime | None) -> "TelemetryQuerySet":
        """Since `start` and before `end`, where they are given."""
        readings = self.filter(ts__gte=start) if start else self
        return readings.filter(ts__lt=end) if end else readings

    def oldest(self) -> "TelemetryQuerySet":
        return self.order_by("ts", "id")


class Telemetry(models.Model):
    """One reading of one device at one moment.

    The table is partitioned by week of `ts` and its key in the database is (device, ts, id); Django
    believes `id` is the key. There is no foreign key in the database: checking one costs a third of
    the throughput, and `maintain` erases a deleted device's readings itself.
    """

    id = models.BigAutoField(_("id"), primary_key=True)
    device = models.ForeignKey(
        Device,
        verbose_name=_("device"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    ts = models.DateTimeField(_("time"))
    msg_id = models.CharField(_("msg id"), max_length=MSG_ID_LENGTH, db_collation="C")
    received_at = models.DateTimeField(_("received at"))
    payload = models.JSONField(_("payload"))

    objects = TelemetryQuerySet.as_manager()

    class Meta:
        verbose_name = _("reading")
        verbose_name_plural = _("readings")

    def __str__(self) -> str:
        return f"{self.device_id} {self.ts:%Y-%m-%d %H:%M:%S}"


class Receipt(models.Model):
    """That message `msg_id` of a device is stored: the UNIQUE of the platform, kept DEDUPE_DAYS.

    Apart from `Telemetry` so that the unique index stays small while history grows. `digest` tells
    a repetition of the same message from another message under a used id.
    """

    pk = models.CompositePrimaryKey("device_id", "msg_id")
    device = models.ForeignKey(
        Device, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    msg_id = models.CharField(max_length=MSG_ID_LENGTH, db_collation="C")
    digest = models.BigIntegerField()
    received_at = models.DateTimeField()

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")

    def __str__(self) -> str:
        return f"{self.device_id} {self.msg_id}"


class RejectedMessageQuerySet(models.QuerySet["RejectedMessage"]):
    def visible_to(self, user: User) -> "RejectedMessageQuerySet":
        """Platform staff see all, also those of no tenant; others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant=user.works_in_id)

    def open(self) -> "RejectedMessageQuerySet":
        return self.filter(resolved_at__isnull=True)

    def resolved(self) -> "RejectedMessageQuerySet":
        return self.filter(resolved_at__isnull=False)

    def resolve(self) -> int:
        """Mark the open ones as dealt with, without storing them; returns how many there were."""
        return self.open().update(resolved_at=timezone.now())

    def behind(self, place: tuple[datetime, UUID] | None) -> "RejectedMessageQuerySet":
        """The open ones in the order in which they came, those after `place` (time and id)."""
        messages = self.open().order_by("received_at", "id")
        if place is None:
            return messages
        at, last = place
        return messages.filter(received_at__gte=at).exclude(received_at=at, id__lte=last)

    def lock_open(
        self, ids: Collection[UUID], *, without_payload: bool = False
    ) -> list["RejectedMessage"]:
        """Those of `ids` that are open still, locked in the order in which they came."""
        messages = self.filter(pk__in=ids).behind(None).select_for_update(no_key=True)
        return list(messages.defer("payload") if without_payload else messages)


class RejectedMessage(models.Model):
    """A message that could not be stored, as it came, for a person to look into and replay."""

    # Derived from the message, so that storing it again after a lost COMMIT reply changes nothing.
    id = models.UUIDField(_("id"), primary_key=True)
    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.PROTECT, null=True, related_name="+"
    )
    device_uid = models.CharField(_("device uid"), max_length=128, blank=True)
    received_at = models.DateTimeField(_("received at"))
    topic = models.BinaryField(_("topic"))
    payload = models.BinaryField(_("payload"))
    size = models.PositiveBigIntegerField(
        _("size"), help_text=_("Bytes of the payload as it came.")
    )
    reason = models.CharField(_("reason"), max_length=32, choices=Reason.choices)
    detail = models.TextField(_("detail"), blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)

    objects = RejectedMessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("rejected message")
        verbose_name_plural = _("rejected messages")
        ordering = ["-received_at", "-id"]
        indexes = [
            # RejectedMessageAdmin: a tenant's list, newest first.
            models.Index(fields=["tenant", "-received_at", "-id"], name="rejected_by_tenant"),
            # The same of those still open, and their number on the home page.
            models.Index(
                fields=["tenant", "-received_at", "-id"],
                name="rejected_open_by_tenant",
                condition=models.Q(resolved_at__isnull=True),
            ),
            # What is removed first where a tenant has too many (telemetry/upkeep/rejected.py).
            models.Index(
                fields=["tenant", "received_at", "id"],
                name="rejected_resolved_by_tenant",
                condition=models.Q(resolved_at__isnull=False),
            ),
            # The list of platform staff, and `maintain`.
            models.Index(fields=["-received_at", "-id"], name="rejected_by_time"),
            # A device's list, and `maintain` where it erases the device.
            models.Index(fields=["device_uid", "-received_at", "-id"], name="rejected_by_device"),
            # Open ones by reason and device (telemetry/groups.py), and one such group in the order
            # in which it came: of a tenant, and for platform staff.
            models.Index(
                fields=["tenant", "reason", "device_uid", "received_at"],
                name="rejected_open_by_group",
                condition=models.Q(resolved_at__isnull=True),
            ),
            models.Index(
                fields=["reason", "device_uid", "received_at"],
                name="rejected_open_by_reason",
                condition=models.Q(resolved_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.received_at:%Y-%m-%d %H:%M:%S}"


class RejectedOverflowQuerySet(models.QuerySet["RejectedOverflow"]):
    def visible_to(self, user: User) -> "RejectedOverflowQuerySet":
        """Platform staff see all, also that of no tenant; others that of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant_id=user.works_in_id)


class RejectedOverflow(models.Model):
    """How many rejected messages of a tenant, or of none, `maintain` has removed because there were
    more than REJECTED_MAX. Never less, as a counter; `last_at` is when it last grew.

    No key to the tenant, for this is nothing that would keep it from being deleted.
    """

    tenant_id = models.BigIntegerField(null=True)
    number = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField()

    objects = RejectedOverflowQuerySet.as_manager()

    class Meta:
        verbose_name = _("removed rejected messages")
        verbose_name_plural = _("removed rejected messages")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], nulls_distinct=False, name="rejected_overflow_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.number}"


class MessageCountQuerySet(models.QuerySet["MessageCount"]):
    def visible_to(self, user: User) -> "MessageCountQuerySet":
        """Platform staff see all, also those of no tenant; others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant_id=user.works_in_id)


class MessageCount(models.Model):
    """What became, in readings, of the messages of a tenant that one connection to the database,
    the `writer`, stored in one minute (`telemetry/counts.py`); kept for two days.

    Without a tenant: of those whose topic names none that there is. No key to the tenant, for these
    rows are nothing that would keep it from being deleted.
    """

    minute = models.DateTimeField()
    tenant_id = models.BigIntegerField(null=True)
    writer = models.IntegerField()
    stored = models.PositiveBigIntegerField(default=0)
    duplicate = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)

    objects = MessageCountQuerySet.as_manager()

    class Meta:
        verbose_name = _("message count")
        verbose_name_plural = _("message counts")
        constraints = [
            # Also serves the home page, which reads some hours of it, and `maintain`.
            models.UniqueConstraint(
                fields=["minute", "tenant_id", "writer"],
                nulls_distinct=False,
                name="message_count_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.minute:%Y-%m-%d %H:%M}"


class BrokerSession(models.Model):
    """Which filters a client id of ours last subscribed, so that unwanted ones can be given back.

    A broker keeps a persistent session's subscriptions and offers no way to list them.
    """

    client_id = models.CharField(max_length=128, primary_key=True)
    filters = models.JSONField(default=list)

    class Meta:
        verbose_name = _("broker session")
        verbose_name_plural = _("broker sessions")

    def __str__(self) -> str:
        return self.client_id

    @classmethod
    def remember(cls, client_id: str, wanted: list[str]) -> list[str]:
        """Note what `client_id` is about to subscribe; returns what it should unsubscribe.

        Unwanted filters stay noted too: unsubscribing again does no harm, forgetting one would.
        """
        session, _ = cls.objects.get_or_create(client_id=client_id)
        session.filters = sorted({*session.filters, *wanted})
        session.save(update_fields=["filters"])
        return [each for each in session.filters if each not in wanted]


class Upkeep(models.Model):
    """When a job of `maintain` last ended well, how long it took and how much it did.

    One that fails leaves the row as it is, so `ended_at` grows old.
    """

    job = models.CharField(_("job"), max_length=64, primary_key=True)
    ended_at = models.DateTimeField(_("ended at"))
    seconds = models.FloatField(_("seconds"))
    count = models.PositiveBigIntegerField(_("count"))

    class Meta:
        verbose_name = _("upkeep")
        verbose_name_plural = _("upkeep")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(seconds__gte=0), name="upkeep_seconds_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.ended_at:%Y-%m-%d %H:%M:%S}"
