"""What each status of a command means, in the words in which people are told it."""

from devices.models import Command, CommandStatus

MEANINGS = {
    CommandStatus.QUEUED: "It waits to be published.",
    CommandStatus.SENT: "The broker has it. The device has not answered yet.",
    CommandStatus.ACKNOWLEDGED: "The device has it and has not said yet how it ended.",
    CommandStatus.SUCCEEDED: "The device has done it.",
    CommandStatus.FAILED: "It was not done.",
    CommandStatus.EXPIRED: "Its time was over before the device said how it ended.",
    CommandStatus.CANCELLED: "It was taken back before it was sent.",
}
CLAIMED = "It is on its way to the broker."


def meaning_of(command: Command) -> str:
    is_claimed = command.status == CommandStatus.QUEUED and command.claimed_at
    return CLAIMED if is_claimed else MEANINGS[CommandStatus(command.status)]
