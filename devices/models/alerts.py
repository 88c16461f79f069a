"""Who is told, and of what, when devices are silent or offline for too long."""

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from devices.models.devices import Device, DeviceType

LONGEST_MINUTES = 366 * 24 * 60
MOST_EMAILS = 10
MOST_RULES = 50
URL_LENGTH = 500
SECRET_LENGTH = 64

# A name stands in the subject of an e-mail.
validate_line = RegexValidator(
    r"[\x00-\x1f\x7f\x85\u2028\u2029]", _("Use one line of text."), inverse_match=True
)


class AlertCondition(models.TextChoices):
    """What may be wrong with a device. A rule may ask for either, an alert says which it is."""

    OFFLINE = "offline", _("Offline")
    SILENT = "silent", _("Silent")
    EITHER = "either", _("Silent or offline")


class AlertEnd(models.TextChoices):
    """Why an alert is over. Only the first one is told to anybody."""

    OVER = "over", _("The device is back")
    DEVICE = "device", _("The device was disabled, deleted, or is not one of the rule any more")
    RULE = "rule", _("The rule was changed or switched off")


class AlertChannel(models.TextChoices):
    EMAIL = "email", _("E-mail")
    WEBHOOK = "webhook", _("Webhook")


class AlertNoticeKind(models.TextChoices):
    RAISED = "raised", _("Alert")
    CLEARED = "cleared", _("All-clear")
    TEST = "test", _("Test")


class AlertRuleQuerySet(models.QuerySet["AlertRule"]):
    def visible_to(self, user: User) -> "AlertRuleQuerySet":
        """Platform staff see every rule, others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant=user.works_in_id)


class AlertRule(models.Model):
    """Whom to tell when a device of a tenant, of one type or of any, is silent or offline for
    longer than `after_minutes`.

    The webhook's secret is kept as it is, for it signs. After a change the one before signs as
    well until `former_until`, so that the receiver has time to change over.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="alert_rules", verbose_name=_("tenant")
    )
    name = models.CharField(_("name"), max_length=128, validators=[validate_line])
    # Not SET_NULL: then it would be about all devices.
    type = models.ForeignKey(
        DeviceType,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="alert_rules",
        verbose_name=_("type"),
        help_text=_("Of which devices. Without a type: of all devices of the tenant."),
    )
    condition = models.CharField(
        _("condition"),
        max_length=16,
        choices=AlertCondition.choices,
        default=AlertCondition.EITHER,
        help_text=_(
            "Silent: no reading came. Offline: the device, or the broker for it, said that it is. "
            "A device that never sent a reading is not silent, one that says nothing of its "
            "connection not offline."
        ),
    )
    after_minutes = models.PositiveIntegerField(
        _("after minutes"),
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_MINUTES)],
        help_text=_(
            "How long it has to last. Choose more than the longest usual pause between readings."
        ),
    )
    emails = ArrayField(
        models.EmailField(),
        size=MOST_EMAILS,
        default=list,
        blank=True,
        verbose_name=_("e-mail addresses"),
    )
    webhook_url = models.URLField(_("webhook"), max_length=URL_LENGTH, blank=True)
    webhook_secret = models.CharField(max_length=SECRET_LENGTH, blank=True, editable=False)
    former_secret = models.CharField(max_length=SECRET_LENGTH, blank=True, editable=False)
    former_until = models.DateTimeField(null=True, editable=False)
    is_enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Switched off, it raises nothing.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = AlertRuleQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        constraints = [
            models.CheckConstraint(
                condition=Q(condition__in=AlertCondition.values),
                name="alert_rule_condition_is_known",
            ),
            models.CheckConstraint(
                condition=Q(after_minutes__gt=0), name="alert_rule_minutes_positive"
            ),
            models.CheckConstraint(
                condition=Q(webhook_url="") | ~Q(webhook_secret=""),
                name="alert_rule_webhook_is_signed",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        # To mail servers it is one address, however it is spelled.
        self.emails = list({email.lower(): email for email in reversed(self.emails)}.values())[::-1]
        super().save(*args, **kwargs)

    def clean(self) -> None:
        others = AlertRule.objects.filter(tenant=self.tenant_id).exclude(pk=self.pk)
        if self.tenant_id and not self.pk and others.count() >= MOST_RULES:
            text = _("A tenant has at most {count} rules. Change or delete another one.")
            raise ValidationError(text.format(count=MOST_RULES))
        usable = DeviceType.objects.usable_by(self.tenant_id)
        if self.type_id and not usable.filter(pk=self.type_id).exists():
            raise ValidationError(
                {"type": _("Choose a type of the rule's tenant, or a shared one.")}
            )

    def signing_secrets(self) -> list[str]:
        """Those that sign what is sent now, the newest first."""
        is_former_good = self.former_until and self.former_until > timezone.now()
        return [self.webhook_secret, *([self.former_secret] if is_former_good else [])]


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, user: User) -> "AlertQuerySet":
        """Platform staff see every alert, others those of their tenant; of a deleted device
        nobody sees any."""
        alerts = self.filter(device__deleted_at__isnull=True)
        return alerts if user.sees_all_tenants else alerts.filter(tenant=user.works_in_id)

    def open(self) -> "AlertQuerySet":
        """Those of devices that are silent or offline still."""
        return self.filter(cleared_at__isnull=True)

    def open_first(self) -> "AlertQuerySet":
        """Open ones first, then those that were cleared last; newer ones before older ones."""
        return self.order_by(F("cleared_at").desc(nulls_first=True), "-id")


class Alert(models.Model):
    """A device has been silent or offline since `since`, which a rule does not let pass.

    At most one is open for a rule and a device. `tenant` is the rule's.
    """

    rule = models.ForeignKey(
        AlertRule,
        on_delete=models.CASCADE,
        related_name="alerts",
        db_index=False,
        verbose_name=_("rule"),
    )
    device = models.ForeignKey(
        Device, on_delete=models.CASCADE, related_name="alerts", verbose_name=_("device")
    )
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        verbose_name=_("tenant"),
    )
    condition = models.CharField(_("condition"), max_length=16, choices=AlertCondition.choices[:2])
    since = models.DateTimeField(_("since"))
    raised_at = models.DateTimeField(_("raised"))
    cleared_at = models.DateTimeField(_("cleared"), null=True)
    end = models.CharField(_("end"), max_length=16, choices=AlertEnd.choices, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "device"],
                condition=Q(cleared_at__isnull=True),
                name="alert_open_once",
            ),
            models.CheckConstraint(
                condition=Q(condition__in=[AlertCondition.OFFLINE, AlertCondition.SILENT]),
                name="alert_condition_is_known",
            ),
            models.CheckConstraint(
                condition=Q(cleared_at__isnull=True, end="")
                | Q(cleared_at__isnull=False, end__in=AlertEnd.values),
                name="alert_end_has_reason",
            ),
        ]
        indexes = [
            # The console's list of a tenant's alerts, and how many are open.
            models.Index(
                F("tenant"),
                F("cleared_at").desc(nulls_first=True),
                F("id").desc(),
                name="alert_open_first",
            ),
            # GET /alerts.
            models.Index(fields=["tenant", "-id"], name="alert_newest_first"),
            # What `maintain` deletes.
            models.Index(
                fields=["cleared_at"],
                name="alert_outlived",
                condition=Q(cleared_at__isnull=False),
            ),
            # The alerts of a rule, the newest first, and all of them when it is deleted.
            models.Index(fields=["rule", "-raised_at"], name="alert_by_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.device}: {self.get_condition_display()}"


class AlertNoticeQuerySet(models.QuerySet["AlertNotice"]):
    def visible_to(self, user: User) -> "AlertNoticeQuerySet":
        """Those of the rules that the user may see."""
        return self if user.sees_all_tenants else self.filter(rule__tenant=user.works_in_id)

    def waiting(self) -> "AlertNoticeQuerySet":
        """Those that are neither delivered nor given up."""
        return self.filter(delivered_at__isnull=True, failed_at__isnull=True)


class AlertNotice(models.Model):
    """One message to one address, about all the alerts that a rule raised, or cleared, at `at`.

    `content` says how many those are and which the first ones, as it was then. Due at `next_at`;
    who takes it in hand moves that on for as long as it may take, and what is not settled by then
    is sent again, with the same id.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="notices", db_index=False
    )
    kind = models.CharField(max_length=16, choices=AlertNoticeKind.choices)
    channel = models.CharField(max_length=16, choices=AlertChannel.choices)
    target = models.CharField(max_length=URL_LENGTH)
    at = models.DateTimeField()
    content = models.JSONField(default=dict)
    next_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    objects = AlertNoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "kind", "channel", "target"]
        verbose_name = _("alert notice")
        verbose_name_plural = _("alert notices")
        constraints = [
            # Also serves a rule's notices, the newest first.
            models.UniqueConstraint(
                fields=["rule", "at", "kind", "channel", "target"], name="alert_notice_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=AlertNoticeKind.values, channel__in=AlertChannel.values),
                name="alert_notice_kind_is_known",
            ),
            models.CheckConstraint(
                condition=Q(delivered_at__isnull=True) | Q(failed_at__isnull=True),
                name="alert_notice_ends_once",
            ),
        ]
        indexes = [
            # The next ones to send (devices/alerts/outbox.py).
            models.Index(
                fields=["next_at"],
                name="alert_notice_due",
                condition=Q(delivered_at__isnull=True, failed_at__isnull=True),
            ),
            # What `maintain` deletes.
            models.Index(fields=["at"], name="alert_notice_outlived"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.target}"


class AlertWatch(models.Model):
    """How far the watch is; one row, which the first round makes.

    Silence says something about devices only where somebody listens: `listening_since` is since
    when an ingestor does without a break, `deaf_since` since when none does, null while one does.
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    checked_at = models.DateTimeField()
    listening_since = models.DateTimeField()
    deaf_since = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="alert_watch_is_one"),
        ]

    def __str__(self) -> str:
        return f"{self.checked_at}"
