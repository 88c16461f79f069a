"""The console's pages of devices."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import F
from django.forms import JSONField, ModelForm
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import BooleanRadioFilter, RadioFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin import TenantScopedAdmin, coloured, moment
from devices.models import TAKEN, Device, DeviceQuerySet, DeviceState, Session

SESSION_COLOURS = {Session.ONLINE: "success", Session.OFFLINE: "danger", Session.UNKNOWN: "info"}
VALUES_IN_LIST = 3
VALUES_ON_PAGE = 200


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


class SessionFilter(RadioFilter):
    title = "session"
    parameter_name = "session"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return Session.choices

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in Session.values:
            return queryset
        return queryset.in_session(Session(self.value()))


class LabelsField(JSONField):
    """Labels as JSON; an empty field means no labels."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"show_hidden_initial": False})

    def to_python(self, value: Any) -> Any:
        labels = super().to_python(value)
        return {} if labels in (None, []) else labels

    def bound_data(self, data: Any, initial: Any) -> Any:
        # Shown again as it was typed: what JSON can spell is not always text that can be sent.
        return InvalidJSONInput(data)


class DeviceForm(ModelForm):
    class Meta:
        error_messages = {"device_uid": {"unique": TAKEN}}
        field_classes = {"labels": LabelsField}
        widgets = {"labels": UnfoldAdminTextareaWidget({"rows": 3})}


@admin.register(Device)
class DeviceAdmin(TenantScopedAdmin):
    form = DeviceForm
    list_display = [
        "device_uid", "name", "tenant", "session", "last_seen", "latest_in_brief", "is_enabled",
    ]  # fmt: skip
    list_filter = [
        SessionFilter,
        ("is_enabled", BooleanRadioFilter),
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant", "state"]
    search_fields = ["device_uid", "name"]
    ordering = ["device_uid"]
    change_form_outer_before_template = "admin/devices/device/links.html"
    state_fields = ["session", "since", "reason", "last_seen", "created", "latest"]
    add_fieldsets = [(None, {"fields": ["device_uid", "name", "tenant", "is_enabled", "labels"]})]
    fieldsets = [("State", {"fields": state_fields}), ("Settings", add_fieldsets[0][1])]

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        return [*self.state_fields, "device_uid", "tenant"] if obj else []

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

    @display(description="reason")
    def reason(self, device: Device) -> str:
        return state_of(device).reason

    @display(description="registered")
    def created(self, device: Device) -> str:
        return moment(device.created_at)

    @display(description="latest values")
    def latest_in_brief(self, device: Device) -> str:
        latest = state_of(device).latest
        shown = [f"{key} {in_brief(latest[key][0])}" for key in sorted(latest)[:VALUES_IN_LIST]]
        hidden = len(latest) - len(shown)
        return ", ".join(shown) + (f" + {hidden} more" if hidden else "")

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

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What the page of confirmation says: there is nothing else that goes with a device."""
        what = [f"{device}: refused from now on, its readings are erased later" for device in objs]
        return what, {self.opts.verbose_name_plural: len(what)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        Device.objects.filter(pk=obj.pk).retire()

    def delete_queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> None:
        queryset.retire()
