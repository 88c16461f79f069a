"""The columns of the list of devices."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import coloured, moment
from accounts.words import number
from devices.console.filters import LABEL, asked_in
from devices.console.page import OneDevice, flow_label, session_label
from devices.console.shown import in_brief, lasting, state_of
from devices.console.values import interest, is_out, meanings
from devices.models import Alert, Device

VALUES_SHOWN = 3
CHIPS_SHOWN = 4
WITH_TIME = '<span class="list-state">{}{}</span>'
OUT = '<span class="list-out">{}</span>'


class Columns(OneDevice):
    """What the list says of each device, given what `prepare` found out of all on its page."""

    @display(description=_("name"), ordering="name")
    def called(self, device: Any) -> SafeString | None:
        named = [device.name] if device.name not in ("", device.device_uid) else []
        parts = [*named, *([alert_link(device)] if device.has_alert else [])]
        return in_lines(parts) if parts else None

    @display(description=_("session"), ordering="state__session")
    def session(self, device: Any) -> SafeString:
        since = state_of(device).since
        labels = [
            session_label(device),
            *([lasting(since)] if since else []),
            *([] if device.is_enabled else [coloured(_("Disabled"), "warning")]),
        ]
        return in_lines(labels)

    @display(description=_("data"), ordering="data_flow")
    def data(self, device: Any) -> SafeString:
        since = device.data_flow_since
        return in_lines([flow_label(device), *([lasting(since)] if since else [])])

    @display(description=_("last seen"), ordering=F("state__last_seen_at").asc(nulls_first=True))
    def last_seen(self, device: Device) -> str:
        return moment(state_of(device).last_seen_at)

    @display(description=_("latest values"))
    def latest_in_brief(self, device: Device) -> SafeString | None:
        latest = state_of(device).latest
        known = meanings(device)
        keys = sorted(latest, key=lambda key: interest(key, known))
        shown = [value_of(key, latest[key][0], known.get(key, {})) for key in keys[:VALUES_SHOWN]]
        if not shown:
            return None
        hidden = len(latest) - len(shown)
        more = gettext(" + {count} more").format(count=number(hidden)) if hidden else ""
        return format_html("{}{}", format_html_join(", ", "{}", ((each,) for each in shown)), more)

    @display(description=_("labels"))
    def chips(self, device: Any) -> SafeString | None:
        if not device.chips:
            return None
        context = {"chips": device.chips[:CHIPS_SHOWN], "hidden": device.chips[CHIPS_SHOWN:]}
        return render_to_string("admin/devices/device/chips.html", context)


def in_lines(parts: Iterable[Any]) -> SafeString:
    first, *rest = parts
    return format_html(WITH_TIME, first, format_html_join("", " {}", ((each,) for each in rest)))


def alert_link(device: Device) -> SafeString:
    page = reverse("admin:devices_alert_changelist")
    asked = urlencode({"device__id__exact": device.pk, "state": "open"})
    return format_html('<a href="{}?{}">{}</a>', page, asked, coloured(_("Alert"), "danger"))


def value_of(key: str, value: Any, meaning: dict[str, Any]) -> str:
    """A value with its name and unit, marked if it is outside of what its type allows."""
    text = f"{meaning.get('label') or key} {in_brief(value)}"
    if unit := meaning.get("unit"):
        text += f"\N{NO-BREAK SPACE}{unit}"
    out = is_out(value, meaning.get("min"), meaning.get("max"))
    return format_html(OUT, text) if out else text


def prepare(shown: ChangeList) -> None:
    """Give the devices of a page what one statement finds out of all of them, and their chips."""
    devices: list[Any] = list(shown.result_list)
    keys = [device.pk for device in devices]
    alerts = Alert.objects.open().filter(device__in=keys).order_by()
    with_alert = set(alerts.values_list("device", flat=True))
    asked = asked_in(shown)
    for device in devices:
        device.has_alert = device.pk in with_alert
        device.chips = [
            chip(shown, asked, f"{key}:{value}") for key, value in sorted(device.labels.items())
        ]
    shown.result_list = devices


def chip(shown: ChangeList, asked: list[str], text: str) -> dict[str, Any]:
    """A label as a link that narrows the list to it, or no longer if the list is."""
    is_on = text in asked
    left = [each for each in asked if each != text] if is_on else [*asked, text]
    address = shown.get_query_string({LABEL: left or None}, [PAGE_VAR])
    return {"text": text.replace(":", ": ", 1), "page": address, "is_on": is_on}
