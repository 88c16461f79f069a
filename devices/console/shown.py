"""How the console shows a device: its state, what it measured last."""

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext

from accounts.admin import exact
from devices.facts import DataFlow
from devices.models import Device, DeviceState, Session

SESSION_COLOURS = {Session.ONLINE: "success", Session.OFFLINE: "danger", Session.UNKNOWN: "info"}
FLOW_COLOURS = {
    DataFlow.FLOWING: "success",
    DataFlow.SILENT: "danger",
    DataFlow.UNKNOWN: "info",
}


def in_brief(value: Any) -> str:
    """A value as a person reads it at a glance."""
    if isinstance(value, dict | list):
        return "…"
    if isinstance(value, float):
        return f"{round(value, 3)}"
    return Truncator(value if isinstance(value, str) else json.dumps(value)).chars(24)


def lasting(since: datetime) -> SafeString:
    """How long something is as it is ("for 2 minutes"); hovering shows since when, exactly."""
    now = timezone.now()
    brief = now - since < timedelta(minutes=1)
    length = gettext("less than a minute") if brief else timesince(since, now, depth=1)
    said = format_html('<time title="{} UTC" data-length>{}</time>', exact(since), length)
    return format_html("<span>{}</span>", format_html(gettext("for {length}"), length=said))


def state_of(device: Device) -> DeviceState:
    """The device's state; the state of nothing known if it was never heard."""
    return getattr(device, "state", None) or DeviceState(device=device)
