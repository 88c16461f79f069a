"""Why a command is not further, as API and console say it to people."""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Q, TextField, Value, When
from django.db.models.functions import Greatest, Now, NullIf
from django.db.models.lookups import LessThan
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.models import CommandStatus

PATIENCE = timedelta(seconds=10)
"""How long dispatchers may take to look at what is due."""
NO_DISPATCHER = sentence(
    _(
        "No dispatcher has taken it. Is “manage.py run_dispatcher” running, and connected to the "
        "broker?"
    )
)

_waits: Any = Q(status=CommandStatus.QUEUED, claimed_at=None, device__queue__look_at__isnull=False)
# While a dispatcher has one of a device's commands in hand, it does not look at the others.
_due = Greatest("device__queue__look_at", "device__queue__leased_until")

REASON = Case(
    When(~Q(reason=""), then="reason"),
    When(_waits & Q(LessThan(_due, Now() - PATIENCE)), then=Value(NO_DISPATCHER)),
    default=NullIf("reason", Value("")),
    output_field=TextField(),
)
"""The reason of a command, or null: what was noted, or that nobody was there to note anything."""
