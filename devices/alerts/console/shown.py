"""How the console shows alerts and what was told of them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import coloured, exact, moment
from accounts.words import in_language
from devices.alerts.mail import NO_SERVER
from devices.alerts.watching import DEAF_SECONDS
from devices.models import Alert, AlertChannel, AlertCondition, AlertNotice, AlertRule, AlertWatch

COLOURS = {AlertCondition.OFFLINE: "danger", AlertCondition.SILENT: "warning"}
NOBODY_WATCHES = _(
    "Nobody watches: no dispatcher has looked since {at} UTC. Is “manage.py run_dispatcher” "
    "running?"
)
NEVER_WATCHED = _("Nobody watches yet: start “manage.py run_dispatcher”.")
DEAF = _(
    "No ingestor that is connected to the broker, and keeps up, was heard of since {at} UTC. That "
    "devices are silent proves nothing now, so no alert is raised."
)


def obstacle() -> str:
    """Why no alert is raised now, for people; nothing if there is no such reason."""
    watch = AlertWatch.objects.first()
    if watch is None:
        return str(NEVER_WATCHED)
    if watch.checked_at < timezone.now() - timedelta(seconds=DEAF_SECONDS):
        return str(NOBODY_WATCHES).format(at=exact(watch.checked_at)[:16])
    return str(DEAF).format(at=exact(watch.deaf_since)[:16]) if watch.deaf_since else ""


def obstacle_of(rule: AlertRule) -> str:
    """Why nothing that a rule says by e-mail arrives."""
    return in_language(NO_SERVER) if rule.emails and not settings.EMAIL else ""


def condition_label(alert: Alert) -> SafeString:
    return coloured(alert.get_condition_display(), COLOURS[AlertCondition(alert.condition)])


def state_label(alert: Alert) -> SafeString:
    return (
        coloured(gettext("Cleared"), "success")
        if alert.cleared_at
        else coloured(gettext("Open"), "danger")
    )


def lasted(alert: Alert) -> str:
    """How long it is, or was, silent or offline."""
    return timesince(alert.since, alert.cleared_at or timezone.now(), depth=2)


def outcome_label(notice: AlertNotice) -> SafeString:
    if notice.delivered_at:
        return coloured(gettext("Delivered"), "success")
    if notice.failed_at:
        return coloured(gettext("Failed"), "danger")
    return coloured(gettext("Waiting"), "warning" if notice.error else "info")


def _place_of(notice: AlertNotice) -> str:
    if notice.channel == AlertChannel.EMAIL:
        return f"…@{notice.target.rpartition('@')[2]}"
    parts = urlsplit(notice.target)
    return f"{parts.scheme}://{parts.hostname}/…"


def rows_of(notices: Iterable[AlertNotice], *, whole: bool) -> list[dict[str, Any]]:
    """Notices as the template notices.html shows them. Not `whole`: the addresses without what may
    be a secret, as the path of a webhook often is."""
    return [
        {
            "notice": notice,
            "target": notice.target if whole else _place_of(notice),
            "outcome": outcome_label(notice),
            "at": moment(notice.at),
            "ended": moment(at) if (at := notice.delivered_at or notice.failed_at) else "",
            "next": "" if notice.delivered_at or notice.failed_at else moment(notice.next_at),
            "error": in_language(notice.error),
            "is_email": notice.channel == AlertChannel.EMAIL,
            "count": notice.content.get("count", 0),
        }
        for notice in notices
    ]
