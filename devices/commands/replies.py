"""What devices say about commands, on its way from an ingested batch into the rows."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from psycopg import Cursor
from psycopg.types.json import Jsonb

from devices.commands import outbox
from devices.models import Command, CommandTransition

# What a reply may change.
MOVED = (
    "status", "reason", "acknowledged_at", "finished_at", "is_late", "reply", "result", "error",
)  # fmt: skip
MOVE = f"""
UPDATE devices_command SET {", ".join(f"{name} = %({name})s" for name in MOVED)}
WHERE number = %(number)s
"""

# The id of a device in the database, and that of a command.
Address = tuple[int, UUID]


class Reply(NamedTuple):
    """A device's word about a command, received `at`; `status` is one of `ReplyStatus`."""

    device_id: int
    command_id: UUID
    status: str
    result: Any
    error: str
    at: datetime


def known(addresses: Iterable[Address]) -> set[Address]:
    """Those of `addresses` at which there is a command: it is that device's, and no other's."""
    wanted = set(addresses)
    rows = Command.objects.filter(id__in={command_id for _, command_id in wanted})
    return wanted & set(rows.values_list("device_id", "id"))


def record(
    cursor: Cursor[Any],
    replies: Sequence[Reply],
    back: Collection[int] = (),
    *,
    tell: bool = True,
) -> None:
    """Move the commands as far as `replies`, which are to known ones, prove; and have published
    again what the devices that are `back` have not answered. Inside a transaction."""
    # Queues before commands, as everybody locks them.
    if back:
        outbox.resume(cursor, back, tell=tell)
    if replies:
        _take(cursor, replies)


def _take(cursor: Cursor[Any], replies: Sequence[Reply]) -> None:
    ids = {reply.command_id for reply in replies}
    # What was to be done can be long, and is of no interest here.
    locked = Command.objects.filter(id__in=ids).order_by("number").defer("params")
    # By the clock that says when commands expire; perhaps nobody has ended it yet.
    overdue = Q(finished_at=None, expires_at__lte=Now())
    found = locked.annotate(is_overdue=ExpressionWrapper(overdue, BooleanField()))
    commands: dict[UUID, Any] = {each.id: each for each in found.select_for_update()}
    steps: list[CommandTransition] = []
    for reply in replies:
        if command := commands.get(reply.command_id):
            if command.is_overdue and not command.finished_at and reply.at >= command.expires_at:
                steps.append(command.expire())
            steps += command.take_reply(reply.status, reply.result, reply.error, reply.at)
    # Optimization: all on their way at once, where a thousand saves would take half a second.
    cursor.executemany(MOVE, [_moved(command) for command in commands.values()])
    CommandTransition.objects.bulk_create(steps)


def _moved(command: Command) -> dict[str, Any]:
    """The parameters of MOVE."""
    values = {name: getattr(command, name) for name in ("number", *MOVED)}
    return values | {"result": None if command.result is None else Jsonb(command.result)}
