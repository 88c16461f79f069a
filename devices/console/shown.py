"""How the console shows a device: its state, what it measured last."""

import json
from typing import Any

from django.utils.text import Truncator

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


def state_of(device: Device) -> DeviceState:
    """The device's state; the state of nothing known if it was never heard."""
    return getattr(device, "state", None) or DeviceState(device=device)
