"""Takes commands back: for certain while nobody else has them, otherwise as far as it goes."""

from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.words import sentence
from devices.commands import outbox
from devices.models import Command, CommandBatch, CommandQuerySet, CommandStatus

# One statement, so that nobody waits for long who needs one of these rows. What is out already is
# not published again in its device's next sessions, and its history says who asked for that.
CANCEL = """
WITH found AS (
    SELECT number, status = 'queued' AND claimed_at IS NULL AS is_ours FROM devices_command
    WHERE number = ANY(%(numbers)s) AND status IN ('queued', 'sent') AND withdrawn_at IS NULL
    ORDER BY number FOR UPDATE
), moved AS (
    UPDATE devices_command AS command SET
        status = CASE WHEN is_ours THEN 'cancelled' ELSE status END,
        finished_at = CASE WHEN is_ours THEN statement_timestamp() END,
        withdrawn_at = CASE WHEN is_ours THEN NULL ELSE statement_timestamp() END,
        reason = CASE WHEN is_ours THEN '' ELSE reason END
    FROM found WHERE command.number = found.number
    RETURNING command.number, status, is_ours
), noted AS (
    INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
    SELECT number, status, statement_timestamp(), %(by)s,
        CASE WHEN is_ours THEN '' ELSE %(noted)s END
    FROM moved ORDER BY number
)
SELECT number FROM moved WHERE is_ours
"""

NOTED = sentence(gettext_noop("To be cancelled, but it was out: not published again."))
AGAIN = _("It will not be published again.")
WAS_CLAIMED = _(
    "It is on its way to the broker, or may be, so it cannot be taken back. It will not be "
    "published again."
)
WAS_SENT = _("It was already sent, at {at:%Y-%m-%d %H:%M:%S} UTC. It will not be published again.")
HAS_ENDED = {
    CommandStatus.SUCCEEDED: _("It has already succeeded."),
    CommandStatus.FAILED: _("It has already failed."),
    CommandStatus.EXPIRED: _("It has already expired."),
    CommandStatus.CANCELLED: _("It has already cancelled."),
}
IS_AT_WORK = _(
    "Its device has it, and said so at {at:%Y-%m-%d %H:%M:%S} UTC. Only the device can stop."
)


@transaction.atomic
def cancel(commands: CommandQuerySet, by: User | None) -> set[int]:
    """Cancel those of `commands` that are with nobody but us; returns their numbers.

    Whoever is about to claim one is waited for, so a cancelled command was never published. What
    was published is not published again.
    """
    with connection.cursor() as cursor:
        numbers = list(commands.open().values_list("number", flat=True))
        cursor.execute(CANCEL, {"numbers": numbers, "by": by.email if by else "", "noted": NOTED})
        cancelled = {number for (number,) in cursor.fetchall()}
        outbox.notify(cursor)
    return cancelled


@transaction.atomic
def cancel_batch(batch: CommandBatch, by: User | None) -> set[int]:
    """The same for all commands of a batch, which notes when that was asked for first."""
    cancelled_at = Coalesce("cancelled_at", Now())
    CommandBatch.objects.filter(pk=batch.pk).update(cancelled_at=cancelled_at)
    return cancel(Command.objects.filter(batch=batch), by)


def why_not(command: Any) -> str:
    """Why a command, which is not cancelled, could not be: honestly."""
    if command.finished_at:
        return str(HAS_ENDED[CommandStatus(command.status)])
    if command.acknowledged_at:
        return IS_AT_WORK.format(at=command.acknowledged_at)
    if command.sent_at:
        return WAS_SENT.format(at=command.sent_at)
    return str(WAS_CLAIMED)
