"""What devices say about commands, on its way from an ingested batch into the rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from devices.models import Command, CommandTransition

MOVED = [
    "status", "reason", "publish_at", "acknowledged_at", "finished_at",
    "is_late", "reply", "result", "error",
]  # fmt: skip
"""What a reply may change."""


class Reply(NamedTuple):
    """A device's word about a command, received `at`; `status` is one of `ReplyStatus`."""

    device_id: int
    command_id: UUID
    status: str
    result: Any
    error: str
    at: datetime


def record(replies: Sequence[Reply]) -> set[int]:
    """Move the commands as far as `replies` prove, inside a transaction.

    Returns the places of those replies that are to no command of their device; they change nothing.
    """
    ids = {reply.command_id for reply in replies}
    # In one order with all who lock commands, so that nobody deadlocks.
    locked = Command.objects.filter(id__in=ids).order_by("number").select_for_update()
    commands = {(command.device_id, command.id): command for command in locked}
    strangers = set()
    steps: list[CommandTransition] = []
    for place, reply in enumerate(replies):
        if command := commands.get((reply.device_id, reply.command_id)):
            steps += command.take_reply(reply.status, reply.result, reply.error, reply.at)
        else:
            strangers.add(place)
    for command in {step.command for step in steps}:
        command.save(update_fields=MOVED)
    CommandTransition.objects.bulk_create(steps)
    return strangers
