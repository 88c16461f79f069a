"""The console's page of one device."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.utils import flatten
from django.db.models import F, Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin import coloured, moment
from devices.commands import console as commands
from devices.console.forms import DeviceForm
from devices.console.shown import FLOW_COLOURS, SESSION_COLOURS, state_of
from devices.console.tenants import OwnTenantAdmin
from devices.credentials import console as credentials
from devices.facts import DataFlow
from devices.models import Device, Session

VALUES_ON_PAGE = 200


class OneDevice(OwnTenantAdmin):
    """What the page of a device consists of; the list of them adds itself to it."""

    form = DeviceForm
    change_form_outer_before_template = "admin/devices/device/links.html"
    state_fields: Any = [
        ("session", "since", "reason"), ("data", "data_since", "data_reason"),
        "last_seen", "created", "latest",
    ]  # fmt: skip
    add_fieldsets = [
        (None, {"fields": ["device_uid", "name", "tenant", "type", "is_enabled", "labels"]})
    ]
    fieldsets = [
        ("State", {"fields": state_fields}),
        ("Commands", {"fields": ["newest_commands"]}),
        ("Credentials", {"fields": ["newest_credentials"]}),
        ("Settings", add_fieldsets[0][1]),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        hidden = () if request.user.has_perm("devices.view_credential") else ("Credentials",)
        return [each for each in super().get_fieldsets(request, obj) if each[0] not in hidden]

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        device: Any = super().get_object(request, *args, **kwargs)
        device.may_change_credentials = request.user.has_perm("devices.change_credential")
        return device

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        shown = [*flatten(self.state_fields), "newest_commands", "newest_credentials"]
        return [*shown, "device_uid", "tenant"] if obj else []

    @display(ordering="state__session")
    def session(self, device: Device) -> SafeString:
        state = state_of(device)
        return coloured(state.get_session_display(), SESSION_COLOURS[Session(state.session)])

    @display(ordering=F("state__last_seen_at").asc(nulls_first=True))
    def last_seen(self, device: Device) -> str:
        return moment(state_of(device).last_seen_at)

    @display(description="session since")
    def since(self, device: Device) -> str:
        return moment(state_of(device).since)

    @display(description="why")
    def reason(self, device: Any) -> str:
        return device.session_reason

    @display(ordering="data_flow")
    def data(self, device: Any) -> SafeString:
        flow = DataFlow(device.data_flow)
        return coloured(flow.label, FLOW_COLOURS[flow])

    @display(description="data since")
    def data_since(self, device: Any) -> str:
        return moment(device.data_flow_since) if device.data_flow_since else "-"

    @display(description="why")
    def data_reason(self, device: Any) -> str:
        return device.data_flow_reason

    @display(description="registered")
    def created(self, device: Device) -> str:
        return moment(device.created_at)

    @display(description="newest commands")
    def newest_commands(self, device: Device) -> SafeString:
        return commands.newest(device)

    @display(description="newest credentials")
    def newest_credentials(self, device: Any) -> SafeString:
        return credentials.section(device, may_change=device.may_change_credentials)

    @display(description="latest values")
    def latest(self, device: Device) -> SafeString:
        latest = state_of(device).latest
        rows = [
            (
                key,
                json.dumps(value, ensure_ascii=False),
                moment(datetime.fromtimestamp(at / 1000, UTC)),
            )
            for key, (value, at) in sorted(latest.items())[:VALUES_ON_PAGE]
        ]
        hidden = len(latest) - len(rows)
        return render_to_string(
            "admin/devices/device/latest.html", {"rows": rows, "hidden": hidden}
        )
