"""What the history says of a command that a person sent: to which device, and with which values."""

import json

from django.contrib.admin.models import ADDITION, LogEntry
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.words import sentence
from devices.models import Command

SENT_TO = sentence(gettext_noop("Sent to {device} with {params}"))


def note_sent(user: User, command: Command) -> None:
    """Note that `user` sent `command`."""
    params = json.dumps(command.params, ensure_ascii=False)
    said = SENT_TO.format(device=command.device.device_uid, params=params)
    LogEntry.objects.log_actions(user.pk, [command], ADDITION, said, single_object=True)
