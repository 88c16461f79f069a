"""Who changed what over the API, for the console's pages “History”, where their own work is."""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db.models import Model

from accounts.models import User

MESSAGES = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


def record(user: User, flag: int, what: Model, fields: list[str] | None = None) -> None:
    """Note that `user` added, changed (which `fields`) or deleted `what`: ADDITION and so on."""
    message: list[dict[str, Any]] = [{MESSAGES[flag]: {"fields": fields} if fields else {}}]
    LogEntry.objects.log_actions(user.pk, [what], flag, message, single_object=True)
