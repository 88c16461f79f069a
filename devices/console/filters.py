"""What the list of devices can be narrowed to."""

from typing import Any

from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RadioFilter

from accounts.admin import person
from devices.console.forms import with_owner
from devices.facts import DataFlow
from devices.models import DeviceQuerySet, DeviceType, Session


class SessionFilter(RadioFilter):
    title = "session"
    parameter_name = "session"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return Session.choices

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in Session.values:
            return queryset
        return queryset.in_session(Session(self.value()))


class DataFlowFilter(RadioFilter):
    title = "data"
    parameter_name = "data_flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return DataFlow.choices

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in DataFlow.values:
            return queryset
        return queryset.in_flow(DataFlow(self.value()))


class TypeFilter(DropdownFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = DeviceType.objects.visible_to(person(request)).select_related("tenant")
        return [(str(each.pk), with_owner(each)) for each in types]

    def queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> DeviceQuerySet:
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(type=self.value())
