"""The console's list of devices."""

from codecs import BOM_UTF8
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import action
from unfold.views import ChangeList

from accounts.files import TooOldProtocol
from devices.bulk import console
from devices.bulk.views import file_of
from devices.commands import console as commands
from devices.console.chosen import ChosenPage, begin, chosen
from devices.console.columns import Columns, prepare
from devices.console.filters import (
    AlertFilter,
    DataFlowFilter,
    LabelFilter,
    SessionFilter,
    TypeFilter,
    search,
)
from devices.console.sending import SendToChosenPage
from devices.console.together import (
    DeletePage,
    DisablePage,
    LabelPage,
    TypePage,
    UnlabelPage,
    enable,
)
from devices.credentials import console as credentials
from devices.models import BrokerChange, Device, DeviceQuerySet

PAGES: tuple[type[ChosenPage], ...] = (
    SendToChosenPage, LabelPage, UnlabelPage, TypePage, DisablePage, DeletePage,
)  # fmt: skip
"""What can be done to chosen devices, each on a page of its own."""


class DeviceAdmin(Columns):
    """The list of devices, and what can be done to those chosen in it."""

    list_display = [
        "device_uid", "called", "tenant", "type", "session", "data", "last_seen",
        "latest_in_brief", "chips",
    ]  # fmt: skip
    list_filter = [
        SessionFilter,
        DataFlowFilter,
        AlertFilter,
        ("is_enabled", BooleanRadioFilter),
        TypeFilter,
        LabelFilter,
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant", "type", "state"]
    search_fields = ["device_uid", "name", "labels"]
    search_help_text = _("UID, name or label")
    # One count is enough: that of the devices that the filters leave.
    show_full_result_count = False
    ordering = ["device_uid"]
    empty_value_display = '<span class="console-none">-</span>'
    list_before_template = "admin/devices/device/files.html"
    actions = [
        "send_command", "set_label", "remove_label", "set_type", "enable", "disable",
        "export_csv", "export_json", "new_credentials", "delete_selected",
    ]  # fmt: skip

    class Media:
        css = {"all": ["devices/list.css"]}

    def get_urls(self) -> list[URLPattern]:
        doors = console, commands, credentials
        site = self.admin_site.admin_view
        chosen_pages = [
            path(
                f"chosen/{page.name}/",
                site(page.as_view(model_admin=self)),
                name=f"devices_device_{page.name}_chosen",
            )
            for page in PAGES
        ]
        others = [page for door in doors for page in door.pages(self)]
        return [*chosen_pages, *others, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        devices: Any = super().get_queryset(request)
        return devices.with_facts()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        devices: Any = queryset
        return search(devices, search_term), False

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        shown = super().get_changelist_instance(request)
        prepare(shown)
        return shown

    def has_issue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.add_credential")

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(SendToChosenPage.permission_required)

    @action(description=_("Send a command…"), permissions=["send"])
    def send_command(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return begin(SendToChosenPage, self, request, queryset)

    @action(description=_("Set a label…"), permissions=["change"])
    def set_label(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return begin(LabelPage, self, request, queryset)

    @action(description=_("Remove a label…"), permissions=["change"])
    def remove_label(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return begin(UnlabelPage, self, request, queryset)

    @action(description=_("Set the type…"), permissions=["change"])
    def set_type(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return begin(TypePage, self, request, queryset)

    @action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: DeviceQuerySet) -> None:
        enable(request, queryset)

    @action(description=_("Disable…"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse | None:
        return begin(DisablePage, self, request, queryset)

    @action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponseBase | None:
        return self._export(request, queryset, "csv")

    @action(description=_("Export as JSON"), permissions=["view"])
    def export_json(
        self, request: HttpRequest, queryset: DeviceQuerySet
    ) -> HttpResponseBase | None:
        return self._export(request, queryset, "json")

    def _export(
        self, request: HttpRequest, queryset: DeviceQuerySet, kind: str
    ) -> HttpResponseBase | None:
        try:
            devices = chosen(request, queryset).order_by("device_uid")
            # Without their mark, spreadsheets take a table for something else than UTF-8.
            return file_of(request, devices, kind, start=BOM_UTF8)
        except TooOldProtocol as error:
            messages.error(request, str(error.detail))
            return None

    @action(description=_("New credentials…"), permissions=["issue"])
    def new_credentials(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse:
        return credentials.begin(self, request, chosen(request, queryset))

    @action(description=_("Delete…"), permissions=["delete"])
    def delete_selected(
        self, request: HttpRequest, queryset: DeviceQuerySet
    ) -> HttpResponse | None:
        return begin(DeletePage, self, request, queryset)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What the page of confirmation says: there is nothing else that goes with a device."""
        said = gettext("{device}: refused from now on, its readings are erased later")
        what = [said.format(device=device) for device in objs]
        return what, {self.opts.verbose_name_plural: len(what)}, set(), []

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "is_enabled" in form.changed_data:
            BrokerChange.objects.note([obj.pk], with_gateways=True)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        Device.objects.filter(pk=obj.pk).retire()
