"""Rejected messages on the home page: how many are open, by reason, and the newest ones."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from iotplatform.home.shown import Card, Trouble, counted, list_of, page_of
from telemetry.groups import COUNTED, totals
from telemetry.models import RejectedMessage
from telemetry.reasons import Reason

SHOWN = 5


def open_by_reason(user: User) -> list[Card]:
    """The reasons that there are, the most frequent first."""
    found = totals(RejectedMessage.objects.visible_to(user), Reason.values)
    return [
        Card(
            Reason(reason).label,
            counted(count, COUNTED),
            list_of("telemetry_rejectedmessage", state="open", reason__exact=reason),
        )
        for reason, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def newest(user: User) -> list[Trouble]:
    """The last ones that are open."""
    messages = RejectedMessage.objects.visible_to(user).open()
    shown = messages.only("device_uid", "reason", "received_at")[:SHOWN]
    return [
        Trouble(
            message.received_at,
            _("Rejected"),
            "warning",
            message.device_uid or _("no device"),
            message.get_reason_display(),
            page_of("telemetry_rejectedmessage", message.pk),
        )
        for message in shown
    ]
