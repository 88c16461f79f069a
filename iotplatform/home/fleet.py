"""The devices on the home page: how many there are, and which ones went away last."""

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    When,
)
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.words import in_language, number
from devices.facts import DATA_FLOW, DataFlow
from devices.models import Alert, AlertCondition, Device, Session
from iotplatform.home.shown import Card, Trouble, list_of, page_of

SHOWN = 10
IS_SILENT = Q(data_flow=DataFlow.SILENT.value)
IS_OFFLINE = Q(state__session=Session.OFFLINE)


class Fleet(NamedTuple):
    """How many devices there are, and of these how many are what; and when one was heard last."""

    devices: int
    online: int
    offline: int
    silent: int
    heard: datetime | None

    def cards(self) -> list[Card]:
        """Each number with the list that it counts."""
        return [
            Card(_("Devices"), number(self.devices), list_of("devices_device")),
            Card(_("Online"), number(self.online), list_of("devices_device", session="online")),
            Card(_("Offline"), number(self.offline), list_of("devices_device", session="offline")),
            Card(_("Silent"), number(self.silent), list_of("devices_device", data_flow="silent")),
        ]


def fleet_of(user: User) -> Fleet:
    """The fleet that `user` sees, which takes one look at each of its devices."""
    devices = Device.objects.visible_to(user).annotate(data_flow=DATA_FLOW)
    return Fleet(
        **devices.aggregate(
            devices=Count("pk"),
            online=Count("pk", filter=Q(state__session=Session.ONLINE)),
            offline=Count("pk", filter=IS_OFFLINE),
            silent=Count("pk", filter=IS_SILENT),
            heard=Max("state__last_seen_at"),
        )
    )


def gone(user: User) -> list[Trouble]:
    """The devices that went silent or offline last. One that is disabled troubles nobody; of one
    with an alert the alert says it all."""
    alerts = Alert.objects.open().filter(device=OuterRef("pk"))
    enabled = Device.objects.visible_to(user).filter(~Exists(alerts), is_enabled=True)
    devices: Any = enabled.with_facts()
    last = devices.filter(IS_SILENT | IS_OFFLINE).annotate(gone_at=GONE_AT)
    shown = last.order_by(F("gone_at").desc(nulls_last=True)).values(
        "pk", "device_uid", "data_flow", "data_flow_reason", "session_reason", "gone_at"
    )
    return [_trouble(device) for device in shown[:SHOWN] if device["gone_at"]]


GONE_AT = Greatest(
    Case(When(IS_SILENT, then=F("data_flow_since")), output_field=DateTimeField()),
    Case(When(IS_OFFLINE, then=F("state__since")), output_field=DateTimeField()),
)


def _trouble(device: dict[str, Any]) -> Trouble:
    is_silent = device["data_flow"] == DataFlow.SILENT.value
    return Trouble(
        device["gone_at"],
        DataFlow.SILENT.label if is_silent else Session.OFFLINE.label,
        "warning" if is_silent else "danger",
        device["device_uid"],
        in_language(device["data_flow_reason" if is_silent else "session_reason"]),
        page_of("devices_device", device["pk"]),
    )


class Alerts(NamedTuple):
    """How many alerts are open, and the newest ones: those of a rule and a moment are one."""

    open: int
    newest: list[Trouble]

    def card(self) -> Card:
        return Card(_("Open alerts"), number(self.open), list_of("devices_alert", state="open"))


def alerts_of(user: User) -> Alerts:
    """The open alerts that `user` sees. The index “alert_open_once” has the open ones alone."""
    alerts = Alert.objects.visible_to(user).open().order_by()
    of_a_moment = alerts.values("rule", "rule__name", "condition", "raised_at").annotate(
        count=Count("pk"), one=Min("pk"), uid=Min("device__device_uid")
    )
    groups = list(of_a_moment.order_by("-raised_at", "-one"))
    return Alerts(
        sum(group["count"] for group in groups), [_alert(group) for group in groups[:SHOWN]]
    )


def _alert(group: Any) -> Trouble:
    at, rule, condition = group["raised_at"], group["rule__name"], group["condition"]
    if group["count"] == 1:
        label = AlertCondition(condition).label
        page = page_of("devices_alert", group["one"])
        return Trouble(at, _("Alert"), "danger", group["uid"], f"{label}: {rule}", page)
    text = _many(condition, group["count"]).format(count=number(group["count"]))
    page = list_of("devices_alert", state="open", rule__id__exact=group["rule"])
    return Trouble(at, _("Alert"), "danger", text, rule, page)


def _many(condition: str, count: int) -> str:
    if condition == AlertCondition.SILENT:
        return ngettext("{count} device silent", "{count} devices silent", count)
    return ngettext("{count} device offline", "{count} devices offline", count)
