"""What the list of devices can be narrowed to, and how it is searched."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.forms import ValidationError
from django.http import HttpRequest
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter, RadioFilter, TextFilter

from accounts.admin import person
from devices.console.forms import with_owner
from devices.facts import DataFlow
from devices.filters import Label, LabelsField, with_labels
from devices.models import Alert, DeviceQuerySet, DeviceType, Session

QUOTES = "\"'"
LABEL = "label"
"""The parameter of an address that narrows the list to a label; it may be there several times."""


class SessionFilter(RadioFilter):
    title = _("session")
    parameter_name = "session"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return Session.choices

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in Session.values:
            return queryset
        return queryset.in_session(Session(self.value()))


class DataFlowFilter(RadioFilter):
    title = _("data")
    parameter_name = "data_flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return DataFlow.choices

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in DataFlow.values:
            return queryset
        return queryset.in_flow(DataFlow(self.value()))


class AlertFilter(RadioFilter):
    title = _("alert")
    parameter_name = "alert"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open"))]

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() != "open":
            return queryset
        return queryset.filter(pk__in=Alert.objects.open().order_by().values("device"))


class TypeFilter(DropdownFilter):
    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = DeviceType.objects.visible_to(person(request)).select_related("tenant")
        return [(str(each.pk), with_owner(each)) for each in types]

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(type=self.value())


class LabelFilter(TextFilter):
    """Labels that all have to be there, each as site:Hanoi, or as site for any value.

    A field for each that is asked for, and one more.
    """

    title = _("label")
    parameter_name = LABEL
    template = "admin/devices/device/label_filter.html"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        self.asked = [text for text in params.get(LABEL, ()) if text]
        super().__init__(request, params, model, model_admin)

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        labels = labels_in(self.asked)
        return queryset.none() if labels is None else with_labels(queryset, labels)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        return iter([{"asked": [*self.asked, ""]}])


def asked_in(shown: ChangeList) -> list[str]:
    """The labels that a list is narrowed to."""
    return [text for text in shown.filter_params.get(LABEL, ()) if text]


def labels_in(texts: list[str]) -> list[Label] | None:
    """What is meant by labels as people write them; None if that is nothing that can be."""
    try:
        return LabelsField(required=False).clean(texts)
    except ValidationError:
        return None


def search(devices: DeviceQuerySet, text: str) -> DeviceQuerySet:
    """Devices with each word of `text` in their UID, their name or a label.

    It looks at every device that the filters leave: for a part of a word there is no index without
    an extension of PostgreSQL. Of a million devices it takes about a second.
    """
    for word in smart_split(text):
        if len(word) > 2 and word[0] in QUOTES and word[0] == word[-1]:
            word = unescape_string_literal(word)
        devices = devices.filter(_has(word))
    return devices


def _has(word: str) -> Q:
    found = Q(device_uid__icontains=word) | Q(name__icontains=word) | Q(labels__icontains=word)
    key, colon, value = word.partition(":")
    return found | Q(labels__contains={key: value}) if colon else found
