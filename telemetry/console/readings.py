"""The console's page of readings, always of one device."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from accounts.admin import exact, person
from accounts.readonly import ReadOnlyAdmin, TimeRangeFilter
from devices.models import Device
from telemetry.console.shown import LONGEST_SHOWN
from telemetry.models import Telemetry

BRIEF = 160


class DeviceFilter(admin.SimpleListFilter):
    """Takes `device` out of the parameters; `TelemetryAdmin.get_queryset` has applied it."""

    title = "device"
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

    def get_urls(self) -> list[URLPattern]:
        return [url for url in super().get_urls() if url.name == "telemetry_telemetry_changelist"]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if "device" not in request.GET and self.has_view_permission(request):
            context = {**self.admin_site.each_context(request), "title": "Readings"}
            return TemplateResponse(request, "admin/telemetry/telemetry/choose.html", context)
        context = {"device": self._device(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Telemetry]:
        # The device is visible; asking that again of every reading would spoil the index scan.
        return Telemetry.objects.filter(device=self._device(request))

    def _device(self, request: HttpRequest) -> Device:
        try:
            return Device.objects.visible_to(person(request)).get(pk=request.GET.get("device", ""))
        except (Device.DoesNotExist, ValueError) as error:
            raise Http404("There is no such device.") from error

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "device" or lookup.startswith(("ts_from_", "ts_to_"))

    @display(description="time")
    def time(self, reading: Telemetry) -> SafeString:
        hint = f"received {exact(reading.received_at)}"
        return format_html('<time title="{}">{}</time>', hint, exact(reading.ts))

    @display(description="message id")
    def message_id(self, reading: Telemetry) -> str:
        return reading.msg_id

    @display(description="payload")
    def payload_in_brief(self, reading: Telemetry) -> SafeString:
        brief = Truncator(json.dumps(reading.payload, ensure_ascii=False)).chars(BRIEF)
        pretty = json.dumps(reading.payload, ensure_ascii=False, indent=2)
        context = {"brief": brief, "pretty": Truncator(pretty).chars(LONGEST_SHOWN)}
        return render_to_string("admin/telemetry/telemetry/payload.html", context)
