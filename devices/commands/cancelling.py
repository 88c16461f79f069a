"""Takes commands back: those that no dispatcher has touched, for certain; no others."""

from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from accounts.models import User
from devices.commands import outbox
from devices.models import Command, CommandBatch, CommandQuerySet, CommandStatus, CommandTransition

WAS_CLAIMED = "It is on its way to the broker already, or may be, so it cannot be taken back."
WAS_SENT = "It was already sent, at {at:%Y-%m-%d %H:%M:%S} UTC, so it cannot be taken back."
HAS_ENDED = "It has already {status}."


@transaction.atomic
def cancel(commands: CommandQuerySet, by: User | None) -> int:
    """Cancel those of `commands` that are still queued; returns how many.

    Whoever is about to claim one is waited for, so a cancelled command was never published.
    """
    locked = Command.objects.cancellable().filter(pk__in=commands.values("pk"))
    found = list(locked.order_by("number").select_for_update())
    now = timezone.now()
    Command.objects.filter(pk__in=[each.pk for each in found]).update(
        status=CommandStatus.CANCELLED, finished_at=now, publish_at=None, reason=""
    )
    CommandTransition.objects.bulk_create(
        CommandTransition(
            command=each, status=CommandStatus.CANCELLED, at=now, by=by.email if by else ""
        )
        for each in found
    )
    with connection.cursor() as cursor:
        outbox.wake_next(cursor, [each.pk for each in found])
    return len(found)


@transaction.atomic
def cancel_batch(batch: CommandBatch, by: User | None) -> int:
    """The same for all commands of a batch, which notes when that was asked for first."""
    cancelled_at = Coalesce("cancelled_at", Now())
    CommandBatch.objects.filter(pk=batch.pk).update(cancelled_at=cancelled_at)
    return cancel(Command.objects.filter(batch=batch), by)


def why_not(command: Any) -> str:
    """Why a command, which is not cancelled, could not be: honestly."""
    if command.finished_at:
        return HAS_ENDED.format(status=command.status)
    if command.sent_at:
        return WAS_SENT.format(at=command.sent_at)
    return WAS_CLAIMED
