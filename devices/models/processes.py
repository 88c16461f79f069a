"""Signs of life of the processes that work between the broker and the database."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ProcessKind(models.TextChoices):
    INGESTOR = "ingestor", _("Ingestor")
    DISPATCHER = "dispatcher", _("Dispatcher")


class Heartbeat(models.Model):
    """What a process said of itself last. It says so every few seconds, by itself.

    `waiting_since` is since when its oldest piece of work waits; null where none does. `detail`
    is what else is worth knowing of it: {"connected": true, "rate": 12.5, …}.
    """

    name = models.CharField(_("name"), max_length=255, primary_key=True)
    kind = models.CharField(_("kind"), max_length=16, choices=ProcessKind.choices)
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("beat at"))
    waiting_since = models.DateTimeField(_("waiting since"), null=True)
    detail = models.JSONField(_("detail"), default=dict)

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        ordering = ["kind", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ProcessKind.values), name="heartbeat_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
