"""The newest commands to a device, for its page."""

from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast, Left

from accounts.admin import moment
from devices.commands.console.commands import in_a_table, why_in_brief
from devices.commands.console.shown import in_brief, page_of, status_of
from devices.models import Command, Device

NEWEST = 10
LONGEST_RESULT = 200


def newest(device: Device) -> list[dict[str, Any]]:
    """The rows of a table of the newest commands: how far each is, and what was answered."""
    answer = Left(Cast("result", TextField()), LONGEST_RESULT)
    commands = in_a_table(Command.objects.filter(device=device)).annotate(answer=answer)
    return [
        {
            "page": page_of(command),
            "command": command,
            "params": in_brief(command.params),
            "status": status_of(command),
            "why": why_in_brief(command),
            "answer": command.answer or "",
            "created": moment(command.created_at),
        }
        for command in commands[:NEWEST]
    ]
