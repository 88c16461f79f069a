"""The console's pages of alerts: which devices are silent or offline, since when, who was told."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RadioFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.admin import moment
from accounts.readonly import FixedOrderChangeList, ReadOnlyAdmin
from devices.alerts.console.shown import (
    condition_label,
    lasted,
    obstacle,
    outcome_label,
    rows_of,
    state_label,
)
from devices.commands.console.shown import in_a_row, link, once, when
from devices.models import Alert, AlertCondition, AlertNotice, AlertNoticeKind, AlertQuerySet

NOTICES_SHOWN = 50


class StateFilter(RadioFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open")), ("cleared", _("Cleared"))]

    def queryset(self, request: HttpRequest, queryset: AlertQuerySet) -> AlertQuerySet:
        if self.value() == "open":
            return queryset.open()
        return queryset.exclude(cleared_at=None) if self.value() == "cleared" else queryset


class ConditionFilter(RadioFilter):
    title = _("condition")
    parameter_name = "condition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return AlertCondition.choices[:2]

    def queryset(self, request: HttpRequest, queryset: AlertQuerySet) -> AlertQuerySet:
        known = self.value() in AlertCondition.values
        return queryset.filter(condition=self.value()) if known else queryset


def told_of(alerts: list[Any]) -> None:
    """Give each of `alerts` the notices of when it was raised, by one statement for all of them."""
    moments = {(alert.rule_id, alert.raised_at) for alert in alerts}
    wanted = Q(pk=None)
    for rule, at in moments:
        wanted |= Q(rule=rule, at=at)
    found: dict[Any, list[AlertNotice]] = {key: [] for key in moments}
    raised = AlertNotice.objects.filter(wanted, kind=AlertNoticeKind.RAISED)
    for notice in raised.defer("content"):
        found[notice.rule_id, notice.at].append(notice)
    for alert in alerts:
        alert.told = found[alert.rule_id, alert.raised_at]


class AlertList(FixedOrderChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        shown: Any = self
        shown.result_list = list(shown.result_list)
        told_of(shown.result_list)


class AlertAdmin(ReadOnlyAdmin):
    list_display = [
        "what",
        "device_link",
        "tenant",
        "since_when",
        "how_long",
        "rule",
        "who",
        "state",
    ]
    list_filter = [
        StateFilter,
        ConditionFilter,
        ("rule", RelatedDropdownFilter),
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["device", "rule", "tenant"]
    search_fields = ["device__device_uid", "device__name"]
    search_help_text = _("UID or name of a device")
    # The index “alert_open_first”.
    ordering = [F("cleared_at").desc(nulls_first=True), "-id"]
    actions = None
    nothing_yet = _(
        "No device is silent or offline for longer than an alert rule allows. A tenant's admin "
        "makes the rules, under “Alert rules”."
    )
    list_before_template = "admin/devices/alert/obstacle.html"
    fieldsets = [
        (
            None,
            {"fields": ["what", "device_link", "tenant", "since_exactly", "how_long", "rule_link"]},
        ),
        (_("Course"), {"fields": ["state", "raised", "cleared"]}),
        (_("Who was told"), {"fields": ["notices"]}),
    ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return AlertList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "obstacle": obstacle()})

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        alert: Any = super().get_object(request, *args, **kwargs)
        alert.links_rule = request.user.has_perm("devices.view_alertrule")
        alert.shows_addresses = request.user.has_perm("devices.change_alertrule")
        return alert

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return super().get_queryset(request).select_related("device", "rule", "tenant")

    @display(description=_("alert"))
    def what(self, alert: Alert) -> SafeString:
        return condition_label(alert)

    @display(description=_("device"))
    def device_link(self, alert: Alert) -> SafeString:
        return link(alert.device)

    @display(description=_("since"))
    def since_when(self, alert: Alert) -> str:
        return moment(alert.since)

    @display(description=_("since"))
    def since_exactly(self, alert: Alert) -> str | None:
        return when(alert.since)

    @display(description=_("how long"))
    def how_long(self, alert: Alert) -> str:
        return lasted(alert)

    @display(description=_("rule"))
    def rule_link(self, alert: Any) -> SafeString | str:
        return link(alert.rule) if alert.links_rule else str(alert.rule)

    @display(description=_("told"))
    def who(self, alert: Any) -> SafeString | None:
        if not alert.told:
            return None
        labels = (outcome_label(notice) for notice in alert.told)
        to = ", ".join(dict.fromkeys(notice.get_channel_display() for notice in alert.told))
        return format_html("{} {}", to, in_a_row(dict.fromkeys(labels)))

    @display(description=_("state"))
    def state(self, alert: Alert) -> SafeString:
        return state_label(alert)

    @display(description=_("raised"))
    def raised(self, alert: Alert) -> str | None:
        return when(alert.raised_at)

    @display(description=_("cleared"))
    def cleared(self, alert: Alert) -> str | None:
        return f"{when(alert.cleared_at)}: {alert.get_end_display()}" if alert.cleared_at else None

    @display(description=_("notices"))
    def notices(self, alert: Any) -> SafeString:
        moments = [Q(kind=AlertNoticeKind.RAISED, at=alert.raised_at)]
        if alert.cleared_at:
            moments.append(Q(kind=AlertNoticeKind.CLEARED, at=alert.cleared_at))
        wanted = moments[0] | moments[-1]
        found = once(alert, "told_all", AlertNotice.objects.filter(wanted, rule=alert.rule_id))
        rows = rows_of(found[:NOTICES_SHOWN], whole=alert.shows_addresses)
        return render_to_string("admin/devices/alert/notices.html", {"rows": rows})
