"""The console's page of one device: how it is, what it measures, what it is told."""

import json
from copy import copy
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import coloured, moment
from accounts.words import in_language
from devices.alerts.console import section as open_alerts
from devices.commands.console.newest import newest
from devices.commands.console.sending import HOUR, SendForm
from devices.console.first import first_message
from devices.console.forms import DeviceForm
from devices.console.shown import FLOW_COLOURS, SESSION_COLOURS, lasting, state_of
from devices.console.tenants import OwnTenantAdmin
from devices.console.values import ROWS, chart_keys, meanings, rows_of, usual_keys
from devices.credentials import console as credentials
from devices.facts import DataFlow
from devices.models import Device, Session

MINUTE, DAY = 60, 86_400
RANGES = [
    (15 * MINUTE, _("15 min")),
    (HOUR, _("1 h")),
    (6 * HOUR, _("6 h")),
    (DAY, _("24 h")),
    (7 * DAY, _("7 d")),
    (30 * DAY, _("30 d")),
    (90 * DAY, _("90 d")),
]
STREAMS = {
    "live-telemetry": "telemetry.view_telemetry",
    "live-commands": "devices.view_command",
}
"""The addresses that the page listens to → what it takes to be allowed to."""


class OneDevice(OwnTenantAdmin):
    """What the page of a device consists of; the list of them adds itself to it."""

    form = DeviceForm
    add_fieldsets = [
        (None, {"fields": ["device_uid", "name", "tenant", "type", "is_enabled", "labels"]})
    ]
    fieldsets = [(_("Settings"), add_fieldsets[0][1])]

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.part_view)
        below = "<path:object_id>/part/<str:name>/"
        return [path(below, page, name="devices_device_part"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("tenant", "type", "state")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        device: Any = super().get_object(request, *args, **kwargs)
        # A form that is refused has changed the other one.
        device.as_kept = copy(device)
        return device

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        return ["device_uid", "tenant"] if obj else []

    def part_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """A part of the page anew, for its scripts, when something has happened."""
        if name not in PARTS:
            raise Http404
        device = self.get_object(request, object_id)
        context = {"device": device, **PARTS[name](device)}
        return render(request, f"admin/devices/device/{name}.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if device := context["original"]:
            context |= page_of(request, device.as_kept)
        return super().render_change_form(request, context, *args, **kwargs)

    @display(ordering="state__session")
    def session(self, device: Device) -> SafeString:
        return session_label(device)

    @display(ordering=F("state__last_seen_at").asc(nulls_first=True))
    def last_seen(self, device: Device) -> str:
        return moment(state_of(device).last_seen_at)

    @display(ordering="data_flow")
    def data(self, device: Any) -> SafeString:
        return flow_label(device)


def session_label(device: Device) -> SafeString:
    state = state_of(device)
    return coloured(state.get_session_display(), SESSION_COLOURS[Session(state.session)])


def flow_label(device: Any) -> SafeString:
    flow = DataFlow(device.data_flow)
    return coloured(flow.label, FLOW_COLOURS[flow])


def page_of(request: HttpRequest, device: Any) -> dict[str, Any]:
    """All that the page shows of a device beside its settings."""
    user = request.user
    parts = {name: value for part in PARTS.values() for name, value in part(device).items()}
    return parts | {
        "device": device,
        "alerts": open_alerts(device),
        "streams": json.dumps(
            [
                f"{reverse(name)}?devices={device.device_uid}"
                for name, permission in STREAMS.items()
                if user.has_perm(permission)
            ]
        ),
        "ranges": RANGES,
        "chart": chart_of(device),
        "first": "" if state_of(device).last_seen_at else first_message(device),
        "needs_token": settings.MQTT_ACCESS != "open",
        "send": SendForm(initial={"key": uuid4(), "unit": HOUR}) if device.is_enabled else None,
        "credentials": user.has_perm("devices.view_credential")
        and credentials.section(device, may_change=user.has_perm("devices.change_credential")),
    }


def state_part(device: Any) -> dict[str, Any]:
    state = state_of(device)
    return {
        "state": state,
        "session": session_label(device),
        "session_reason": in_language(device.session_reason),
        "since": state.since and lasting(state.since),
        "flow": flow_label(device),
        "flow_reason": in_language(device.data_flow_reason),
        "flow_since": device.data_flow_since and lasting(device.data_flow_since),
        "last_seen": moment(state.last_seen_at),
    }


def latest_part(device: Device) -> dict[str, Any]:
    rows = rows_of(device)
    return {"rows": rows, "hidden": len(state_of(device).latest) - len(rows), "most": ROWS}


def commands_part(device: Device) -> dict[str, Any]:
    return {"commands": newest(device)}


PARTS = {"state": state_part, "latest": latest_part, "commands": commands_part}
"""What can change while the page is open → what its template of that name needs."""


def chart_of(device: Device) -> dict[str, Any]:
    """What the chart's script has to know."""
    return {
        "now": timezone.now().timestamp() * 1000,
        "series": reverse("series", args=[device.device_uid]),
        "ranges": [seconds for seconds, _label in RANGES],
        "keys": chart_keys(device),
        "usual": usual_keys(device),
        "fields": meanings(device),
    }
