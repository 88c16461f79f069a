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

    name = models.CharField(max_length=255, primary_key=True)
    kind = models.CharField(max_length=16, choices=ProcessKind.choices)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    waiting_since = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["kind", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ProcessKind.values), name="heartbeat_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
