"""The console's pages of messages that could not be stored: the list, and the page of one."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
    TextFilter,
)
from unfold.decorators import action, display

from accounts.admin import coloured, moment, person
from accounts.readonly import ReadOnlyAdmin, TimeRangeFilter
from accounts.words import in_language
from devices.models import Device
from telemetry.console import dealing, grouped
from telemetry.console.advice import ADVICE, REPLAYED_IN_VAIN
from telemetry.console.shown import is_plain, text_of, visible, ways
from telemetry.models import RejectedMessage, RejectedMessageQuerySet
from telemetry.reasons import Reason

PREVIEWED = 80
CHANGES_SHOWN = 20
LINK = '<a class="font-semibold text-primary-600 dark:text-primary-500" href="{}">{}</a>'


class StateFilter(RadioFilter):
    title = _("state")
    parameter_name = "state"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open")), ("resolved", _("Dealt with")), ("all", _("All"))]

    def value(self) -> str:
        return super().value() or "open"

    def queryset(
        self, request: HttpRequest, queryset: RejectedMessageQuerySet
    ) -> RejectedMessageQuerySet:
        if self.value() == "all":
            return queryset
        return queryset.open() if self.value() == "open" else queryset.resolved()


class DeviceFilter(TextFilter):
    """The whole id of a device, by which an index finds its messages."""

    title = _("device")
    parameter_name = "device_uid"

    def queryset(
        self, request: HttpRequest, queryset: RejectedMessageQuerySet
    ) -> RejectedMessageQuerySet:
        uid = self.value()
        if not uid:
            return queryset
        if uid == grouped.NAMELESS:
            return queryset.filter(device_uid="")
        return queryset.filter(device_uid=uid)


class RejectedMessageAdmin(ReadOnlyAdmin):
    """Without any parameter the list's address is the page of groups."""

    list_display = [
        "received", "reason_label", "device_uid", "tenant", "topic_text", "preview", "state",
    ]  # fmt: skip
    list_filter = [
        StateFilter,
        ("reason", ChoicesDropdownFilter),
        DeviceFilter,
        ("received_at", TimeRangeFilter),
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant"]
    list_before_template = "admin/telemetry/rejectedmessage/above.html"
    # A part of it would be looked for in every message.
    search_fields = ["device_uid__exact"]
    search_help_text = _("The whole id of a device")
    ordering = ["-received_at", "-id"]
    actions = ["replay_selected", "resolve_selected"]
    nothing_yet = _("Nothing was rejected.")
    change_form_outer_before_template = "admin/telemetry/rejectedmessage/buttons.html"
    fields = [
        "received", "tenant", "device", "topic_text", "reason_text", "detail_text", "advice",
        "state", "payload_text", "changes",
    ]  # fmt: skip

    class Media:
        css = {"all": ["telemetry/console/rejected.css"]}

    def get_urls(self) -> list[URLPattern]:
        own = [
            ("groups/", partial(grouped.page, self), "groups"),
            ("replay/", partial(dealing.page, self, dealing.REPLAY), "replay_many"),
            ("resolve/", partial(dealing.page, self, dealing.RESOLVE), "resolve_many"),
            ("<path:object_id>/deal/", self.deal_view, "deal"),
            ("<path:object_id>/payload/", self.payload_view, "payload"),
        ]
        return [
            *(
                path(
                    address,
                    self.admin_site.admin_view(view),
                    name=f"telemetry_rejectedmessage_{name}",
                )
                for address, view, name in own
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and not request.GET:
            return grouped.page(self, request)
        chosen = request.GET.copy()
        chosen.pop("p", None)
        return super().changelist_view(
            request,
            {
                "chosen": chosen.urlencode(),
                "can_deal": self.has_deal_permission(request),
                "shown": "list",
                "removed": grouped.removed(request),
                **(extra_context or {}),
            },
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedMessage]:
        # A page of the list would read fifty payloads and show the beginning of each.
        beginning = Substr("payload", 1, PREVIEWED, output_field=BinaryField())
        return super().get_queryset(request).defer("payload").annotate(beginning=beginning)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        found: Any = super().get_object(request, object_id, from_field)
        # A message names a device; whether this person may see it is another matter.
        seen = Device.objects.visible_to(person(request))
        found.named_device = seen.filter(device_uid=found.device_uid).first()
        found.is_replayed_in_vain = found.reason in REPLAYED_IN_VAIN
        return found

    def has_deal_permission(self, request: HttpRequest) -> bool:
        """Whether the user may replay rejected messages and mark them as dealt with."""
        return bool(request.user.has_perm("telemetry.change_rejectedmessage"))

    @method_decorator(require_POST)
    def deal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The buttons of a message's page."""
        if not self.has_deal_permission(request):
            raise PermissionDenied
        message = self.get_object(request, object_id)
        what = dealing.REPLAY if "replay" in request.POST else dealing.RESOLVE
        self._deal(request, what, RejectedMessage.objects.filter(pk=message.pk))
        return redirect("admin:telemetry_rejectedmessage_change", object_id)

    @method_decorator(require_GET)
    def payload_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The payload as it came, or what was kept of it, for a program to look into."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        message = self.get_object(request, object_id)
        # Whatever it is, no browser is to make something of it.
        headers = {
            "Content-Disposition": f'attachment; filename="{message.pk}.bin"',
            "X-Content-Type-Options": "nosniff",
        }
        payload = bytes(message.payload)
        return HttpResponse(payload, content_type="application/octet-stream", headers=headers)

    @action(description=_("Replay"), permissions=["deal"])
    def replay_selected(self, request: HttpRequest, queryset: RejectedMessageQuerySet) -> None:
        self._deal(request, dealing.REPLAY, queryset)

    @action(description=_("Mark as dealt with"), permissions=["deal"])
    def resolve_selected(self, request: HttpRequest, queryset: RejectedMessageQuerySet) -> None:
        self._deal(request, dealing.RESOLVE, queryset)

    def _deal(
        self, request: HttpRequest, what: dealing.What, queryset: RejectedMessageQuerySet
    ) -> None:
        """Deal with what a person chose by hand, which is a page of the list at most."""
        tally = dealing.Tally()
        dealing.take_step(request, what, queryset, tally)
        level = messages.WARNING if tally.is_doubtful else messages.SUCCESS
        self.message_user(request, what.report(tally), level)

    @display(description=_("received"))
    def received(self, rejected: RejectedMessage) -> str:
        return moment(rejected.received_at)

    @display(description=_("reason"))
    def reason_label(self, rejected: RejectedMessage) -> SafeString:
        return grouped.label(rejected.reason)

    @display(description=_("topic"))
    def topic_text(self, rejected: RejectedMessage) -> SafeString:
        return visible(text_of(bytes(rejected.topic)))

    @display(description=_("payload"))
    def preview(self, rejected: Any) -> SafeString:
        beginning = text_of(bytes(rejected.beginning))
        more = "…" if rejected.size > PREVIEWED else ""
        return format_html('<code class="console-break">{}{}</code>', visible(beginning), more)

    @display(description=_("state"))
    def state(self, rejected: RejectedMessage) -> SafeString:
        if rejected.resolved_at:
            return coloured(gettext("dealt with"), "success")
        return coloured(gettext("open"), "warning")

    @display(description=_("device"))
    def device(self, rejected: Any) -> SafeString | str:
        if not rejected.named_device:
            return rejected.device_uid
        page = reverse("admin:devices_device_change", args=[rejected.named_device.pk])
        return format_html(LINK, page, rejected.device_uid)

    @display(description=_("reason"))
    def reason_text(self, rejected: RejectedMessage) -> str:
        return rejected.get_reason_display()

    @display(description=_("detail"))
    def detail_text(self, rejected: RejectedMessage) -> SafeString:
        return visible(in_language(rejected.detail))

    @display(description=_("what to do"))
    def advice(self, rejected: RejectedMessage) -> Any:
        return ADVICE[Reason(rejected.reason)]

    @display(description=_("payload"))
    def payload_text(self, rejected: RejectedMessage) -> SafeString:
        payload = bytes(rejected.payload)
        context = {
            "ways": ways(payload),
            "kept": len(payload),
            "size": rejected.size,
            "is_plain": is_plain(text_of(payload)),
            "address": reverse("admin:telemetry_rejectedmessage_payload", args=[rejected.pk]),
        }
        return render_to_string("admin/telemetry/rejectedmessage/payload.html", context)

    @display(description=_("history"))
    def changes(self, rejected: RejectedMessage) -> SafeString:
        # Served by the index of the history of one thing.
        kind = ContentType.objects.get_for_model(RejectedMessage)
        entries = LogEntry.objects.filter(content_type=kind, object_id=rejected.pk)
        newest = entries.select_related("user").order_by("-pk")[:CHANGES_SHOWN]
        rows = [
            # Written by this console, in English; nobody else writes of these messages.
            {"at": moment(each.action_time), "by": each.user, "what": gettext(each.change_message)}
            for each in newest
            if each.change_message
        ]
        return render_to_string("admin/telemetry/rejectedmessage/changes.html", {"rows": rows})
