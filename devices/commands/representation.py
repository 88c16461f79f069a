"""Commands and batches as the API shows them, made by PostgreSQL.

`devices/commands/serializers.py` describes them.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import orjson
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Count, JSONField, OuterRef, Q, Value
from django.db.models.functions import NullIf

from accounts.models import User
from accounts.rest import JSONRow
from devices.commands.reasons import REASON
from devices.models import Command, CommandStatus, CommandTransition


class Part(JSONRow):
    """A row inside of another one."""

    template = "%(function)s(%(expressions)s)"
    output_field: Any = JSONField()


def text(name: str) -> NullIf:
    """A text, or null if there is none."""
    return NullIf(name, Value(""))


STEPS = ArraySubquery(
    CommandTransition.objects.filter(command=OuterRef("pk"))
    .order_by("id")
    .values(json=Part(status="status", at="at", by=text("by"), detail=text("detail")))
)
FIELDS: dict[str, Any] = {
    "id": "id",
    "device_uid": "device__device_uid",
    "cmd": "cmd",
    "params": "params",
    "status": "status",
    "reason": REASON,
    "issued_by": "issued_by__email",
    "batch": "batch_id",
    "created_at": "created_at",
    "claimed_at": "claimed_at",
    "sent_at": "sent_at",
    "acknowledged_at": "acknowledged_at",
    "finished_at": "finished_at",
    "expires_at": "expires_at",
    "is_late": "is_late",
    "reply": text("reply"),
    "result": "result",
    "error": text("error"),
}
COMMAND = JSONRow(**FIELDS)
COMMAND_SENT = JSONRow(ok=Value(True, BooleanField()), **FIELDS)
"""With what the service before answered to a command."""
COMMAND_WHOLE = JSONRow(**FIELDS, transitions=STEPS)

BATCH_FIELDS: dict[str, Any] = {
    "id": "id",
    "tenant": "tenant__slug",
    "cmd": "cmd",
    "params": "params",
    "issued_by": "issued_by__email",
    "created_at": "created_at",
    "expires_at": "expires_at",
    "cancelled_at": "cancelled_at",
}
BATCH = JSONRow(**BATCH_FIELDS)
"""Without what may be as long as there are devices."""
BATCH_WHOLE = JSONRow(**BATCH_FIELDS, target="target", skipped="skipped")


def progress_of(batches: Collection[UUID], user: User) -> dict[UUID, dict[str, Any]]:
    """How far the commands of `batches` are that `user` may see, found in one statement."""
    numbers = {state.value: Count("pk", filter=Q(status=state)) for state in CommandStatus}
    numbers["late"] = Count("pk", filter=Q(is_late=True))
    commands = Command.objects.visible_to(user).filter(batch__in=batches).order_by()
    rows: Any = commands.values("batch").annotate(**numbers)
    found = dict.fromkeys(batches, progress({}))
    return found | {row["batch"]: progress(row) for row in rows}


def progress(row: dict[str, Any]) -> dict[str, Any]:
    counts = {state.value: row.get(state.value, 0) for state in CommandStatus}
    return {"total": sum(counts.values()), "counts": counts, "late": row.get("late", 0)}


def with_progress(json: str, progress: dict[str, Any]) -> str:
    """A batch, and how far its commands are, as one object of JSON."""
    return f"{json.removesuffix('}')}, {orjson.dumps(progress).decode().removeprefix('{')}"
