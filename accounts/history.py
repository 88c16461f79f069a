"""Who changed what over the API, for the console's pages “History”, where their own work is."""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db.models import Model
from rest_framework.serializers import BaseSerializer

from accounts.models import User

MESSAGES = {ADDITION: "added", CHANGE: "changed"}


def record(user: User, flag: int, what: Model, fields: list[str] | None = None) -> None:
    """Note that `user` added, changed (which `fields`) or deleted `what`: ADDITION and so on."""
    message: list[dict[str, Any]] = []
    if flag != DELETION:
        message.append({MESSAGES[flag]: {"fields": fields} if fields else {}})
    LogEntry.objects.log_actions(user.pk, [what], flag, message, single_object=True)


def note(user: User, what: Model, said: str) -> None:
    """Note that `user` changed `what`, in words that say more than names of fields."""
    LogEntry.objects.log_actions(user.pk, [what], CHANGE, said, single_object=True)


def save_and_record(user: User, serializer: BaseSerializer) -> None:
    """Save a change by `user`, and note which fields have another value by that, if any."""
    before, sent = serializer.instance, serializer.validated_data
    fields = [name for name, value in sent.items() if getattr(before, name) != value]
    changed = serializer.save()
    if fields:
        record(user, CHANGE, changed, fields)
