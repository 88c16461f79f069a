"""Commands: each is a row that outlives everything it passes through on its way to a device."""

import uuid
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from devices.models.devices import Device

CMD_LENGTH = 64
KEY_LENGTH = 255
REASON_LENGTH = 255


class CommandStatus(models.TextChoices):
    """How far a command has come, by evidence alone; it never goes back.

    `sent` means that the broker took it, which proves nothing about the device.
    """

    QUEUED = "queued", _("Queued")
    SENT = "sent", _("Sent")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    CANCELLED = "cancelled", _("Cancelled")


class ReplyStatus(models.TextChoices):
    """What a device says about a command."""

    ACCEPTED = "accepted"
    PROGRESS = "progress"
    OK = "ok"
    ERROR = "error"


UNHEARD = (CommandStatus.QUEUED, CommandStatus.SENT)
"""Its device has said nothing of it, so it is published again in each new session."""
ENDED = (
    CommandStatus.SUCCEEDED,
    CommandStatus.FAILED,
    CommandStatus.EXPIRED,
    CommandStatus.CANCELLED,
)
OUTCOME = {ReplyStatus.OK: CommandStatus.SUCCEEDED, ReplyStatus.ERROR: CommandStatus.FAILED}


class CommandBatchQuerySet(models.QuerySet["CommandBatch"]):
    def visible_to(self, user: User) -> "CommandBatchQuerySet":
        """Platform staff see every batch, others those of their tenant."""
        return self if user.sees_all_tenants else self.filter(tenant=user.works_in_id)


class CommandBatch(models.Model):
    """One command to many devices of a tenant. How far they are is counted from their rows.

    `target` is what the devices were chosen by, as it was asked for: {"device_uids": […]},
    {"labels": {…}} or {"all": true}. `skipped` are those that it could not be queued for, as
    [{"device_uid", "reason"}].
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    cmd = models.CharField(_("cmd"), max_length=CMD_LENGTH)
    params = models.JSONField(_("params"), default=dict)
    target = models.JSONField(_("target"))
    skipped = models.JSONField(_("skipped"), default=list)
    issued_by = models.ForeignKey(
        User, verbose_name=_("issued by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    idempotency_key = models.CharField(_("idempotency key"), max_length=KEY_LENGTH, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    expires_at = models.DateTimeField(_("expires at"))
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True)

    objects = CommandBatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("command batch")
        verbose_name_plural = _("command batches")
        ordering = ["-created_at", "-id"]
        indexes = [
            # GET /command-batches: a tenant's, newest first.
            models.Index(fields=["tenant", "-created_at", "-id"], name="batch_by_tenant"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["issued_by", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="batch_idempotency_key_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cmd} {self.created_at:%Y-%m-%d %H:%M:%S}"


class CommandQuerySet(models.QuerySet["Command"]):
    def visible_to(self, user: User) -> "CommandQuerySet":
        """Platform staff see every command, others those of their tenant; a deleted device's
        nobody."""
        commands = self.filter(device__deleted_at__isnull=True)
        return commands if user.sees_all_tenants else commands.filter(tenant=user.works_in_id)

    def open(self) -> "CommandQuerySet":
        """Those that still may come to a good end."""
        return self.filter(finished_at__isnull=True)

    def cancellable(self) -> "CommandQuerySet":
        """Those that are certainly with nobody but us."""
        return self.filter(status=CommandStatus.QUEUED, claimed_at__isnull=True)


class Command(models.Model):
    """One command to one device.

    `number` is the order in which commands were accepted, which is kept for each device; `id` is
    what devices and apps call it. `claimed_at` is when a dispatcher took it in hand first, null
    again if the broker has certainly passed it on to nobody. `sent_at` is when the broker took it
    first, `published_at` when it was claimed to be given to the broker last. `withdrawn_at` is when
    somebody would have cancelled it, but it was out already: it is not published again. `reason`
    says why it is not further. With `is_late` the device replied when the command had expired or
    been cancelled; `reply`, `result` and `error` are what it said last.
    """

    number = models.BigAutoField(_("number"), primary_key=True)
    id = models.UUIDField(_("id"), unique=True, default=uuid.uuid4, editable=False)
    # Without indexes of their own: those below begin with them.
    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    device = models.ForeignKey(
        Device,
        verbose_name=_("device"),
        on_delete=models.CASCADE,
        db_index=False,
        related_name="commands",
    )
    batch = models.ForeignKey(
        CommandBatch,
        verbose_name=_("batch"),
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        related_name="commands",
    )
    cmd = models.CharField(_("cmd"), max_length=CMD_LENGTH)
    params = models.JSONField(_("params"), default=dict)
    status = models.CharField(
        _("status"), max_length=16, choices=CommandStatus.choices, default=CommandStatus.QUEUED
    )
    reason = models.CharField(_("reason"), max_length=REASON_LENGTH, blank=True)
    issued_by = models.ForeignKey(
        User, verbose_name=_("issued by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    idempotency_key = models.CharField(_("idempotency key"), max_length=KEY_LENGTH, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    claimed_at = models.DateTimeField(_("claimed at"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    published_at = models.DateTimeField(_("published at"), null=True)
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    expires_at = models.DateTimeField(_("expires at"))
    is_late = models.BooleanField(_("late"), default=False)
    reply = models.CharField(_("reply"), max_length=16, choices=ReplyStatus.choices, blank=True)
    result = models.JSONField(_("result"), null=True)
    error = models.TextField(_("error"), blank=True)

    objects = CommandQuerySet.as_manager()

    class Meta:
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        ordering = ["-number"]
        indexes = [
            # GET /devices/{uid}/commands, GET /commands of a tenant, and of a batch.
            models.Index(fields=["device", "-number"], name="command_by_device"),
            models.Index(fields=["tenant", "-number"], name="command_by_tenant"),
            models.Index(
                fields=["batch", "-number"],
                name="command_by_batch",
                condition=models.Q(batch__isnull=False),
            ),
            # How many a tenant sent in the last minute (devices/commands/sending.py).
            models.Index(fields=["tenant", "created_at"], name="command_rate"),
            # Those whose life is over (devices/commands/outbox.py).
            models.Index(
                fields=["expires_at"],
                name="command_expiring",
                condition=models.Q(finished_at__isnull=True),
            ),
            # A device's queue: its length, and its first.
            models.Index(
                fields=["device", "number"],
                name="command_open_by_device",
                condition=models.Q(finished_at__isnull=True),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["issued_by", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="command_idempotency_key_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=CommandStatus.values), name="command_status_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(reply__in=["", *ReplyStatus.values]),
                name="command_reply_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=ENDED, finished_at__isnull=False)
                | models.Q(finished_at__isnull=True) & ~models.Q(status__in=ENDED),
                name="command_finished_has_ended",
            ),
            models.CheckConstraint(
                condition=~models.Q(status=CommandStatus.SENT) | models.Q(sent_at__isnull=False),
                name="command_sent_has_time",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="command_life_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cmd} {self.id}"

    def take_reply(
        self, reply: str, result: Any, error: str, at: datetime
    ) -> list["CommandTransition"]:
        """Move as far as a reply received `at` proves; saves nothing, returns the steps.

        What is over stays so; a reply that comes later is noted as late. A reply that says no more
        than the one before it is no step, nor is progress after progress: a device may send any
        number of these.
        """
        if self.reply in OUTCOME or (self.reply and reply == ReplyStatus.ACCEPTED):
            return []
        before = self.reply, self.is_late
        self.reply, self.error, self.reason = reply, error, ""
        self.result = self.result if result is None else result
        self.is_late = self.status in ENDED
        if before == (reply, self.is_late):
            return []
        if self.is_late:
            return [self._step(at, f"A late reply: {reply}.")]
        status = OUTCOME.get(ReplyStatus(reply), CommandStatus.ACKNOWLEDGED)
        return [self._move(status, at, "" if status in ENDED else reply)]

    def expire(self) -> "CommandTransition":
        """End it at the end of its life; saves nothing, returns the step."""
        reason, self.reason = self.reason, ""
        return self._move(CommandStatus.EXPIRED, self.expires_at, reason)

    def _move(self, status: CommandStatus, at: datetime, detail: str) -> "CommandTransition":
        self.status = status
        if status == CommandStatus.ACKNOWLEDGED:
            self.acknowledged_at = self.acknowledged_at or at
        else:
            self.finished_at = at
        return self._step(at, detail)

    def _step(self, at: datetime, detail: str) -> "CommandTransition":
        return CommandTransition(command=self, status=self.status, at=at, detail=detail)


class DeviceQueue(models.Model):
    """When the commands of a device are looked at next, and by whom.

    Whoever adds a command, or hears that its device is back, and every dispatcher locks this row
    first: so of two things that happen at once one knows of the other. `look_at` is null where
    nothing waits. Until `leased_until` a dispatcher has a command of the device in hand. What was
    published before `resumed_at`, when the device's session began or its broker lost its queue, and
    has not been answered since, is published again. The pause before the next attempt grows with
    `attempts`.
    """

    device = models.OneToOneField(
        Device, on_delete=models.CASCADE, primary_key=True, related_name="queue"
    )
    look_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    resumed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("device queue")
        verbose_name_plural = _("device queues")
        indexes = [
            # The next ones (devices/commands/outbox.py).
            models.Index(
                fields=["look_at"],
                name="queue_due",
                condition=models.Q(look_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.look_at}"


class CommandTransition(models.Model):
    """One step of a command: what it came to, when, and who or what was the reason.

    `by` is the e-mail address of the person who asked; a text, so that it outlives them.
    """

    command = models.ForeignKey(
        Command, verbose_name=_("command"), on_delete=models.CASCADE, related_name="transitions"
    )
    status = models.CharField(_("status"), max_length=16, choices=CommandStatus.choices)
    at = models.DateTimeField(_("at"), db_default=Now())
    by = models.CharField(_("by"), max_length=254, blank=True)
    detail = models.CharField(_("detail"), max_length=REASON_LENGTH, blank=True)

    class Meta:
        verbose_name = _("command transition")
        verbose_name_plural = _("command transitions")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.status} {self.at:%Y-%m-%d %H:%M:%S}"
