"""What each status of a command means, in the words in which people are told it."""

from django.utils.translation import gettext_lazy as _

from devices.models import Command, CommandStatus

MEANINGS = {
    CommandStatus.QUEUED: _("It waits to be published."),
    CommandStatus.SENT: _("The broker has it. The device has not answered yet."),
    CommandStatus.ACKNOWLEDGED: _("The device has it and has not said yet how it ended."),
    CommandStatus.SUCCEEDED: _("The device has done it."),
    CommandStatus.FAILED: _("It was not done."),
    CommandStatus.EXPIRED: _("Its time was over before the device said how it ended."),
    CommandStatus.CANCELLED: _("It was taken back before it was sent."),
}
CLAIMED = _("It is on its way to the broker.")


def meaning_of(command: Command) -> str:
    is_claimed = command.status == CommandStatus.QUEUED and command.claimed_at
    return str(CLAIMED if is_claimed else MEANINGS[CommandStatus(command.status)])
