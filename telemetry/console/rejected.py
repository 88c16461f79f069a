"""The console's pages of messages that could not be stored."""

from collections import Counter
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display

from accounts.admin import coloured, moment
from accounts.readonly import ReadOnlyAdmin
from telemetry.console.advice import ADVICE
from telemetry.console.shown import LONGEST_SHOWN, hex_dump, text_of
from telemetry.models import RejectedMessage, RejectedMessageQuerySet
from telemetry.reasons import Reason
from telemetry.replay import DUPLICATE, REJECTED, STORED, replay

REPLAYED_AT_ONCE = 100

OUTCOMES = {
    STORED: "stored",
    DUPLICATE: "stored before already",
    REJECTED: "rejected again (still open)",
}


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
