"""What people take back, with an entry on the page “History” of each command or batch."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.words import sentence
from devices.commands.cancelling import cancel, cancel_batch
from devices.models import Command, CommandBatch, CommandQuerySet

LOGGED = sentence(gettext_noop("Cancelled."))


@transaction.atomic
def cancel_and_log(commands: CommandQuerySet, by: User) -> int:
    """Cancel those of `commands` that can be, each with an entry in its log; returns how many."""
    cancelled = Command.objects.filter(pk__in=cancel(commands, by)).only("cmd", "id")
    LogEntry.objects.log_actions(by.pk, cancelled, CHANGE, LOGGED)
    return len(cancelled)


@transaction.atomic
def cancel_batch_and_log(batch: CommandBatch, by: User) -> None:
    """The same for all commands of a batch, with one entry in the log of the batch."""
    if cancel_batch(batch, by):
        LogEntry.objects.log_actions(by.pk, [batch], CHANGE, LOGGED)
