"""Puts the home page together: what a person may see of the fleet, in a dozen statements."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext

from accounts.admin import moment, person
from iotplatform.home import commands, fleet, health, rejected, traffic
from iotplatform.home.beginning import beginning
from iotplatform.home.shown import Trouble, counted, list_of

TROUBLES = 12
UNTOLD = "devices.view_brokerchange"
REJECTED = "telemetry.view_rejectedmessage"


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the home page shows: how the fleet is, or how to begin one."""
    now = timezone.now()
    devices = fleet.fleet_of(person(request))
    shown = {"title": gettext("Home"), "cards": devices.cards(), "heard": moment(devices.heard)}
    if not devices.devices:
        shown |= beginning(request)
    return context | shown | _state(request, now)


def _state(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """All but the numbers of devices."""
    user = person(request)
    may_see_rejected = request.user.has_perm(REJECTED)
    platform = health.health_of(user, now)
    sent = commands.commands_of(user, now)
    messages = traffic.traffic_of(user, now, with_rejected=may_see_rejected)
    shown: dict[str, Any] = {
        "services": platform.services,
        "traffic": messages,
        "traffic_in_words": messages.summary(with_rejected=may_see_rejected),
        "may_see_rejected": may_see_rejected,
        "commands": sent,
        "untold": _untold(request, platform.changes),
        "untold_link": list_of("devices_brokerchange"),
    }
    troubles = [*platform.troubles, *sent.troubles]
    if may_see_rejected:
        shown["rejected"] = rejected.open_by_reason(user)
        troubles += rejected.newest(user)
    return shown | {"troubles": _merged(fleet.alerted(user), fleet.gone(user), troubles)}


def _untold(request: HttpRequest, changes: int) -> str:
    """How many changes wait for the broker; nothing if none, or if the person may not know."""
    may_know = settings.MQTT_ACCESS != "open" and request.user.has_perm(UNTOLD)
    return counted(changes, health.COUNTED) if changes and may_know else ""


def _merged(alerts: list[Trouble], gone: list[Trouble], others: list[Trouble]) -> list[Trouble]:
    """The newest first. Of a device with an alert the alert says it all."""
    alerted = {alert.subject for alert in alerts}
    news = [trouble for trouble in gone if trouble.subject not in alerted]
    merged = sorted([*alerts, *news, *others], key=lambda trouble: trouble.at, reverse=True)
    return merged[:TROUBLES]
