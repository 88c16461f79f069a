"""The console's list of devices."""

from typing import Any

from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from devices.bulk import console
from devices.commands import console as commands
from devices.console.filters import DataFlowFilter, SessionFilter, TypeFilter
from devices.console.page import OneDevice
from devices.console.shown import in_brief, state_of
from devices.credentials import console as credentials
from devices.models import BrokerChange, Device, DeviceQuerySet

VALUES_IN_LIST = 3


class DeviceAdmin(OneDevice):
    """The list of devices, and what can be done to those chosen in it."""

    list_display = [
        "device_uid", "name", "tenant", "type", "session", "data", "last_seen", "latest_in_brief",
        "is_enabled",
    ]  # fmt: skip
    list_filter = [
        SessionFilter,
        DataFlowFilter,
        ("is_enabled", BooleanRadioFilter),
        TypeFilter,
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant", "type", "state"]
    search_fields = ["device_uid", "name"]
    ordering = ["device_uid"]
    list_before_template = "admin/devices/device/files.html"
    actions = ["new_credentials"]

    def get_urls(self) -> list[URLPattern]:
        doors = console, commands, credentials
        return [*(page for door in doors for page in door.pages(self)), *super().get_urls()]

    def has_issue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.add_credential")

    @action(description="New credentials…", permissions=["issue"])
    def new_credentials(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse:
        return credentials.begin(self, request, queryset)

    def get_queryset(self, request: HttpRequest) -> Any:
        devices: Any = super().get_queryset(request)
        return devices.with_facts()

    @display(description="latest values")
    def latest_in_brief(self, device: Device) -> str:
        latest = state_of(device).latest
        shown = [f"{key} {in_brief(latest[key][0])}" for key in sorted(latest)[:VALUES_IN_LIST]]
        hidden = len(latest) - len(shown)
        return ", ".join(shown) + (f" + {hidden} more" if hidden else "")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What the page of confirmation says: there is nothing else that goes with a device."""
        what = [f"{device}: refused from now on, its readings are erased later" for device in objs]
        return what, {self.opts.verbose_name_plural: len(what)}, set(), []

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "is_enabled" in form.changed_data:
            BrokerChange.objects.note([obj.pk], with_gateways=True)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        Device.objects.filter(pk=obj.pk).retire()

    def delete_queryset(self, request: HttpRequest, queryset: DeviceQuerySet) -> None:
        queryset.retire()
