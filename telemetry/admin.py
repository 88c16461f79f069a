"""The console's pages of readings, always of one device, and of rejected messages."""

import json
from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display

from accounts.admin import coloured, exact, moment, person
from accounts.readonly import ReadOnlyAdmin, TimeRangeFilter
from devices.models import Device
from telemetry.models import RejectedMessage, RejectedMessageQuerySet, Telemetry
from telemetry.reasons import Reason
from telemetry.replay import DUPLICATE, REJECTED, STORED, replay

BRIEF = 160
LONGEST_SHOWN = 20_000
REPLAYED_AT_ONCE = 100

MEND_DEVICE = "The device has to send something else; replaying this message changes nothing."
RAISE_LIMIT = "If such messages are wanted, raise the limit, restart the ingestor and replay."
ADVICE = {
    Reason.TOO_LARGE: f"The limit is the setting MAX_PAYLOAD. {RAISE_LIMIT}",
    Reason.NOT_UTF8: MEND_DEVICE,
    Reason.NUL: MEND_DEVICE,
    Reason.TOO_DEEP: MEND_DEVICE,
    Reason.TOO_MANY: "Let the device send its readings in several messages.",
    Reason.NOT_FINITE: "JSON has no NaN or Infinity: the device should leave such a value out.",
    Reason.NUMBER: MEND_DEVICE,
    Reason.BAD_MSG_ID: MEND_DEVICE,
    Reason.TOO_OLD: f"The limit is the setting HISTORY_DAYS. {RAISE_LIMIT}",
    Reason.MSG_ID_REUSED: (
        "The device used an id twice for different messages, often a counter that starts over. "
        "Let it put a boot number in front. Once the first message is older than DEDUPE_DAYS, "
        "replaying stores this one."
    ),
    Reason.BAD_STATUS: MEND_DEVICE,
    Reason.BAD_REPLY: MEND_DEVICE,
    Reason.UNKNOWN_COMMAND: (
        "The id in the reply is that of no command to this device: let the device send back the id "
        "that it got. There is nothing to replay."
    ),
    Reason.MALFORMED_TOPIC: "Let the device publish to tenant/devices/uid/telemetry.",
    Reason.MALFORMED_PACKET: "Look for a faulty MQTT library on the device.",
    Reason.UNKNOWN_TENANT: "Create the tenant, or correct the topic on the device, then replay.",
    Reason.UNKNOWN_DEVICE: "Create the device, then replay.",
    Reason.FOREIGN_DEVICE: (
        "The uid is taken by a device of another tenant: give this device another uid or topic."
    ),
    Reason.DEVICE_DISABLED: "Enable the device, then replay. A deleted device stays deleted.",
    Reason.DATABASE: "The detail says what PostgreSQL objects to. Once that is mended, replay.",
    Reason.ERROR: "A fault of the platform: report it with the ingestor's log, replay once mended.",
}
"""What a person can do about a rejected message."""


OUTCOMES = {
    STORED: "stored",
    DUPLICATE: "stored before already",
    REJECTED: "rejected again (still open)",
}


def text_of(data: bytes) -> str | None:
    """The bytes as text, if they are text that can be shown as it is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(line.isprintable() for line in text.replace("\t", " ").split("\n")) else None


def hex_dump(data: bytes) -> str:
    """The bytes as people read bytes: offset, hexadecimal, and the letters among them."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:06x}  {row.hex(' '):<47}  {letters}")
    return "\n".join(lines)


class DeviceFilter(admin.SimpleListFilter):
    """Takes `device` out of the parameters; `TelemetryAdmin.get_queryset` has applied it."""

    title = "device"
    parameter_name = "device"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


@admin.register(Telemetry)
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


class ResolvedFilter(RadioFilter):
    title = "state"
    parameter_name = "state"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("resolved", "Dealt with"), ("all", "All")]

    def value(self) -> str:
        return super().value() or "open"

    def queryset(
        self, request: HttpRequest, queryset: RejectedMessageQuerySet
    ) -> RejectedMessageQuerySet:
        if self.value() == "all":
            return queryset
        return queryset.open() if self.value() == "open" else queryset.resolved()


@admin.register(RejectedMessage)
class RejectedMessageAdmin(ReadOnlyAdmin):
    list_display = ["received", "reason_label", "device_uid", "tenant", "topic_text", "state"]
    list_filter = [
        ResolvedFilter,
        ("reason", ChoicesDropdownFilter),
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant"]
    search_fields = ["device_uid"]
    ordering = ["-received_at", "-id"]
    actions = ["replay_selected", "resolve_selected"]
    change_form_outer_before_template = "admin/telemetry/rejectedmessage/buttons.html"
    fields = [
        "received", "tenant", "device_uid", "topic_text", "reason_text", "detail", "advice",
        "state", "payload_text",
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        name = "telemetry_rejectedmessage_deal"
        deal = self.admin_site.admin_view(self.deal_view)
        return [path("<path:object_id>/deal/", deal, name=name), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedMessage]:
        # A page of the list would read fifty payloads and show none.
        return super().get_queryset(request).defer("payload")

    def has_deal_permission(self, request: HttpRequest) -> bool:
        """Whether the user may replay rejected messages and mark them as dealt with."""
        return bool(request.user.has_perm("telemetry.change_rejectedmessage"))

    @method_decorator(require_POST)
    def deal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The buttons of a message's page."""
        if not self.has_deal_permission(request):
            raise PermissionDenied
        message = self.get_object(request, object_id)
        one = RejectedMessage.objects.filter(pk=message.pk)
        deal = self.replay_selected if "replay" in request.POST else self.resolve_selected
        deal(request, one)
        return redirect("admin:telemetry_rejectedmessage_change", object_id)

    @action(description="Replay", permissions=["deal"])
    def replay_selected(self, request: HttpRequest, queryset: RejectedMessageQuerySet) -> None:
        # Oldest first, as they would have been stored.
        chosen = queryset.open().order_by("received_at", "id")[:REPLAYED_AT_ONCE]
        outcomes: Counter[str] = Counter()
        for rejected in chosen:
            outcome = replay(rejected)
            outcomes[outcome] += 1
            self.log_change(request, rejected, f"Replayed: {outcome}.")
        self._report(request, outcomes)

    def _report(self, request: HttpRequest, outcomes: Counter[str]) -> None:
        """Say how many of the replayed messages met which end."""
        counts = ", ".join(
            f"{outcomes[outcome]} {text}" for outcome, text in OUTCOMES.items() if outcomes[outcome]
        )
        level = messages.WARNING if outcomes[REJECTED] or not counts else messages.SUCCESS
        text = f"Replayed: {counts}." if counts else "Nothing to replay: all dealt with already."
        self.message_user(request, text, level)

    @action(description="Mark as dealt with", permissions=["deal"])
    def resolve_selected(self, request: HttpRequest, queryset: RejectedMessageQuerySet) -> None:
        for rejected in queryset.open():
            self.log_change(request, rejected, "Marked as dealt with.")
        count = queryset.resolve()
        self.message_user(request, f"{count} marked as dealt with.", messages.SUCCESS)

    @display(description="received")
    def received(self, rejected: RejectedMessage) -> str:
        return moment(rejected.received_at)

    @display(description="reason")
    def reason_label(self, rejected: RejectedMessage) -> SafeString:
        colour = "danger" if rejected.reason in (Reason.ERROR, Reason.DATABASE) else ""
        return coloured(rejected.reason.replace("_", " "), colour)

    @display(description="topic")
    def topic_text(self, rejected: RejectedMessage) -> str:
        topic = bytes(rejected.topic)
        return text_of(topic) or repr(topic)[2:-1]

    @display(description="state")
    def state(self, rejected: RejectedMessage) -> SafeString:
        if rejected.resolved_at:
            return coloured("dealt with", "success")
        return coloured("open", "warning")

    @display(description="reason")
    def reason_text(self, rejected: RejectedMessage) -> str:
        return rejected.get_reason_display()

    @display(description="what to do")
    def advice(self, rejected: RejectedMessage) -> str:
        return ADVICE[Reason(rejected.reason)]

    @display(description="payload")
    def payload_text(self, rejected: RejectedMessage) -> SafeString:
        payload = bytes(rejected.payload)
        text = text_of(payload)
        context = {
            "text": text and text[:LONGEST_SHOWN],
            "dump": hex_dump(payload[:LONGEST_SHOWN]) if text is None else "",
            "size": len(payload),
            "is_cut": len(payload if text is None else text) > LONGEST_SHOWN,
        }
        return render_to_string("admin/telemetry/rejectedmessage/payload.html", context)
