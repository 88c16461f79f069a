"""The console's page of readings, always of one device."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.admin import exact, person
from accounts.readonly import ReadOnlyAdmin, TimeRangeFilter
from devices.models import Device
from telemetry.console.shown import LONGEST_SHOWN
from telemetry.models import Telemetry

BRIEF = 160


def units(device: Device) -> list[tuple[str, str]]:
    """What the device's type says of its keys: name and unit, where it has one."""
    fields = device.type.fields if device.type else {}
    return [
        (field.get("label") or key, field["unit"])
        for key, field in fields.items()
        if field.get("unit")
    ]


def _between(changes: ChangeList) -> dict[str, str]:
    """The range of time that the list is narrowed to, as the API takes it."""
    (chosen,) = [each for each in changes.filter_specs if isinstance(each, TimeRangeFilter)]
    form = chosen.form_class(name="ts", data=chosen.used_parameters)
    ends = form.cleaned_data if form.is_valid() else {}
    start, end = ends.get("ts_from"), ends.get("ts_to")
    if end:
        # The API leaves out the end itself.
        end += timedelta(microseconds=1)
    return {name: at.isoformat() for name, at in (("from", start), ("to", end)) if at}


class DeviceFilter(admin.SimpleListFilter):
    """Takes `device` out of the parameters; `TelemetryAdmin.get_queryset` has applied it."""

    title = _("device")
    parameter_name = "device"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class TelemetryAdmin(ReadOnlyAdmin):
    """The readings of one device, newest first.

    The table has no index that starts with anything but the device, so there is no page of all
    readings, and none of a single one: its id alone would be looked for in every partition.
    """

    list_display = ["time", "payload_in_brief", "message_id"]
    list_before_template = "admin/telemetry/telemetry/device.html"
    list_filter = [DeviceFilter, ("ts", TimeRangeFilter)]
    ordering = ["-ts", "-id"]
    actions = None
    nothing_yet = _("The device has sent nothing yet. Its readings appear here when it does.")

    def get_urls(self) -> list[URLPattern]:
        return [url for url in super().get_urls() if url.name == "telemetry_telemetry_changelist"]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if "device" not in request.GET and self.has_view_permission(request):
            context = {**self.admin_site.each_context(request), "title": _("Readings")}
            return TemplateResponse(request, "admin/telemetry/telemetry/choose.html", context)
        device = self._device(request)
        context = {"device": device, "units": units(device), **(extra_context or {})}
        response: Any = super().changelist_view(request, context)
        if "cl" in (getattr(response, "context_data", None) or {}):
            export = reverse("export", args=[device.device_uid])
            between = _between(response.context_data["cl"])
            response.context_data["exports"] = {
                kind: f"{export}?{urlencode({'as': kind, **between})}" for kind in ("csv", "ndjson")
            }
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Telemetry]:
        # The device is visible; asking that again of every reading would spoil the index scan.
        return Telemetry.objects.filter(device=self._device(request))

    def _device(self, request: HttpRequest) -> Device:
        try:
            devices = Device.objects.visible_to(person(request)).select_related("type")
            return devices.get(pk=request.GET.get("device", ""))
        except (Device.DoesNotExist, ValueError) as error:
            raise Http404(gettext("There is no such device.")) from error

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "device" or lookup.startswith(("ts_from_", "ts_to_"))

    @display(description=_("time"))
    def time(self, reading: Telemetry) -> SafeString:
        hint = gettext("received {time}").format(time=exact(reading.received_at))
        return format_html('<time title="{}">{}</time>', hint, exact(reading.ts))

    @display(description=_("message id"))
    def message_id(self, reading: Telemetry) -> str:
        return reading.msg_id

    @display(description=_("payload"))
    def payload_in_brief(self, reading: Telemetry) -> SafeString:
        brief = Truncator(json.dumps(reading.payload, ensure_ascii=False)).chars(BRIEF)
        pretty = json.dumps(reading.payload, ensure_ascii=False, indent=2)
        context = {"brief": brief, "pretty": Truncator(pretty).chars(LONGEST_SHOWN)}
        return render_to_string("admin/telemetry/telemetry/payload.html", context)
