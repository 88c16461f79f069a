"""Puts the home page together: what a person may see of the fleet, in a dozen statements."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import moment, person
from devices.models import CommandStatus
from iotplatform.home import commands, fleet, health, rejected, traffic
from iotplatform.home.beginning import beginning
from iotplatform.home.shown import Card, Trouble, counted, list_of

TROUBLES = 12
UNTOLD = "devices.view_brokerchange"
REJECTED = "telemetry.view_rejectedmessage"


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the home page shows: how the fleet is, or how to begin one."""
    now = timezone.now()
    devices = fleet.fleet_of(person(request))
    shown = {"title": gettext("Home"), "heard": moment(devices.heard)}
    if not devices.devices:
        shown |= beginning(request)
    return context | shown | _state(request, now, devices.cards())


def _state(request: HttpRequest, now: datetime, cards: list[Card]) -> dict[str, Any]:
    """All that there is to see of a fleet; `cards` are the numbers of its devices."""
    user = person(request)
    may_see_rejected = request.user.has_perm(REJECTED)
    platform = health.health_of(user, now)
    sent = commands.commands_of(user, now)
    alerts = fleet.alerts_of(user)
    messages = traffic.traffic_of(user, now, with_rejected=may_see_rejected)
    shown: dict[str, Any] = {
        "cards": [*cards, alerts.card()],
        "services": platform.services,
        "traffic": messages,
        "traffic_in_words": messages.summary(with_rejected=may_see_rejected),
        "may_see_rejected": may_see_rejected,
        "lists": _lists(may_see_rejected),
        "commands": sent,
        "untold": _untold(request, platform.changes),
        "untold_link": list_of("devices_brokerchange"),
    }
    troubles = [*platform.troubles, *sent.troubles]
    if may_see_rejected:
        shown["rejected"] = rejected.open_by_reason(user)
        troubles += rejected.newest(user)
    return shown | {"troubles": _newest([*alerts.newest, *fleet.gone(user), *troubles])}


def _lists(may_see_rejected: bool) -> list[tuple[Any, str]]:
    """Where all of what the newest troubles are of is listed."""
    lists: list[tuple[Any, str]] = [
        (_("Alerts"), list_of("devices_alert", state="open")),
        (_("Silent"), list_of("devices_device", data_flow="silent")),
        (_("Offline"), list_of("devices_device", session="offline")),
        (CommandStatus.FAILED.label, list_of("devices_command", status__exact="failed")),
    ]
    if may_see_rejected:
        lists.append((_("Rejected"), list_of("telemetry_rejectedmessage", state="open")))
    return lists


def _untold(request: HttpRequest, changes: int) -> str:
    """How many changes wait for the broker; nothing if none, or if the person may not know."""
    may_know = settings.MQTT_ACCESS != "open" and request.user.has_perm(UNTOLD)
    return counted(changes, health.COUNTED) if changes and may_know else ""


def _newest(troubles: list[Trouble]) -> list[Trouble]:
    """The newest first."""
    return sorted(troubles, key=lambda trouble: trouble.at, reverse=True)[:TROUBLES]
