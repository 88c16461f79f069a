"""How a list of devices can be narrowed and ordered."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Q
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field

from accounts.filters import StrictBooleanFilter
from accounts.moments import parse_moment
from devices.facts import DataFlow
from devices.models import Device, DeviceQuerySet, Session

ORDERS = {
    sign + name: f"{name}, {direction}"
    for name in Device.ORDERS
    for sign, direction in (("", "ascending"), ("-", "descending"))
}
Label = tuple[str, str | None]


class MomentField(forms.Field):
    def to_python(self, value: str | None) -> datetime | None:
        try:
            return parse_moment(value) if value else None
        except ValueError as error:
            raise forms.ValidationError(str(error), "invalid") from error


class MomentFilter(filters.IsoDateTimeFilter):
    """A point in time in ISO 8601; UTC where it names no offset."""

    field_class = MomentField


class LabelsField(forms.Field):
    """Labels that all have to be there: as (key, value), or (key, None) for any value."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: list[str] | None) -> list[Label]:
        parts = [text.partition(":") for text in value or () if text]
        if not all(key for key, _, _ in parts):
            raise forms.ValidationError("Write it as site:Hanoi, or as site for any value.")
        return [(key, label if colon else None) for key, colon, label in parts]


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string"},
        "description": "Devices with this label: `site:Hanoi`, or `site` for any value. May be "
        "given several times; all of them have to be there.",
    }
)
class LabelFilter(filters.Filter):
    field_class = LabelsField
    is_repeatable = True


def with_labels(devices: DeviceQuerySet, labels: Iterable[Label]) -> DeviceQuerySet:
    """Those of `devices` that have all of the labels, by the index `device_by_label`."""
    for key, label in labels:
        found: dict[str, Any] = (
            {"labels__has_key": key} if label is None else {"labels__contains": {key: label}}
        )
        devices = devices.filter(**found)
    return devices


class DeviceFilters(filters.FilterSet):
    search = filters.CharFilter(
        method="find", max_length=255, help_text="Part of the uid or the name, in any case."
    )
    tenant = filters.CharFilter("tenant__slug", help_text="Slug. Of use to platform staff.")
    type = filters.CharFilter("type__name", help_text="Name of a device type.")
    label = LabelFilter(method="having")
    is_enabled = StrictBooleanFilter(help_text="Whether messages of the device are taken.")
    online = StrictBooleanFilter(method="connected", help_text="Whether `session` is `online`.")
    session = filters.ChoiceFilter(
        field_name="state__session",
        choices=Session.choices,
        method="in_session",
        error_messages={"invalid_choice": "Use online, offline or unknown."},
        help_text="What the device said of its connection itself.",
    )
    data_flow = filters.ChoiceFilter(
        choices=DataFlow.choices,
        method="in_flow",
        error_messages={"invalid_choice": "Use flowing, silent or unknown."},
        help_text="Whether readings come without a pause longer than the type's `offline_after`.",
    )
    last_seen_after = MomentFilter(
        "state__last_seen_at", "gte", help_text="A message came at this moment or since."
    )
    last_seen_before = MomentFilter(
        "state__last_seen_at",
        "lt",
        help_text="The last message came before this moment. A device that was never heard is not "
        "among them; `ordering=last_seen_at` puts those first.",
    )
    ordering = filters.ChoiceFilter(
        choices=list(ORDERS.items()),
        method="in_order",
        error_messages={"invalid_choice": f"Use one of {', '.join(ORDERS)}."},
        help_text="The default is `device_uid`. For any other, each page takes longer the more "
        "devices there are, for all of them are sorted. By `last_seen_at`, devices that were "
        "never heard come before all others.",
    )

    class Meta:
        model = Device
        fields: list[str] = []

    def find(self, devices: DeviceQuerySet, name: str, text: str) -> DeviceQuerySet:
        return devices.filter(Q(device_uid__icontains=text) | Q(name__icontains=text))

    def having(self, devices: DeviceQuerySet, name: str, labels: list[Label]) -> DeviceQuerySet:
        return with_labels(devices, labels)

    def connected(self, devices: DeviceQuerySet, name: str, online: bool) -> DeviceQuerySet:
        is_online = Q(state__session=Session.ONLINE)
        return devices.filter(is_online if online else ~is_online)

    def in_session(self, devices: DeviceQuerySet, name: str, session: str) -> DeviceQuerySet:
        return devices.in_session(Session(session))

    def in_flow(self, devices: DeviceQuerySet, name: str, flow: str) -> DeviceQuerySet:
        return devices.in_flow(DataFlow(flow))

    def in_order(self, devices: DeviceQuerySet, name: str, order: str) -> DeviceQuerySet:
        return devices.in_order(order)
