"""The console's pages of devices."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten
from django.db import IntegrityError
from django.db.models import Count, F, ForeignKey, Model, Q
from django.forms import JSONField, ModelChoiceField, ModelForm
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    DropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin import TenantScopedAdmin, coloured, moment, person
from devices.bulk import console
from devices.commands import console as commands
from devices.credentials import console as credentials
from devices.enrolment.console import EnrolmentKeyAdmin
from devices.facts import DataFlow
from devices.models import (
    TAKEN,
    BrokerChange,
    Device,
    DeviceQuerySet,
    DeviceState,
    DeviceType,
    EnrolmentKey,
    Session,
)

admin.site.register(EnrolmentKey, EnrolmentKeyAdmin)

SESSION_COLOURS = {Session.ONLINE: "success", Session.OFFLINE: "danger", Session.UNKNOWN: "info"}
FLOW_COLOURS = {
    DataFlow.FLOWING: "success",
    DataFlow.SILENT: "danger",
    DataFlow.UNKNOWN: "info",
}
VALUES_IN_LIST = 3
VALUES_ON_PAGE = 200


def in_brief(value: Any) -> str:
    """A value as a person reads it at a glance."""
    if isinstance(value, dict | list):
        return "…"
    if isinstance(value, float):
        return f"{round(value, 3)}"
    return Truncator(value if isinstance(value, str) else json.dumps(value)).chars(24)


def state_of(device: Device) -> DeviceState:
    """The device's state; the state of nothing known if it was never heard."""
    return getattr(device, "state", None) or DeviceState(device=device)


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


def with_owner(kind: DeviceType) -> str:
    """A type's name, of which every tenant may have one, with whose it is."""
    return f"{kind.name} ({kind.tenant.slug if kind.tenant else 'shared'})"


class ObjectField(JSONField):
    """An object as JSON; nothing means an empty one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"show_hidden_initial": False})

    def to_python(self, value: Any) -> Any:
        written = super().to_python(value)
        return {} if written in (None, []) else written

    def bound_data(self, data: Any, initial: Any) -> Any:
        # Shown again as it was typed: what JSON can spell is not always text that can be sent.
        return InvalidJSONInput(data)


class OwnTenantForm(ModelForm):
    """A form without a choice of tenants, for those who work in one."""

    own_tenant_id: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Before it is checked: what is allowed may depend on the tenant.
        if self.own_tenant_id and not self.instance.pk:
            self.instance.tenant_id = self.own_tenant_id


class OwnTenantAdmin(TenantScopedAdmin):
    """Pages of things that every tenant has for itself."""

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm]:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.own_tenant_id = None if person(request).is_superuser else person(request).tenant_id
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            # Somebody did the same after the form was checked. Now its checks see that.
            return super().changeform_view(request, *args, **kwargs)


class DeviceForm(OwnTenantForm):
    class Meta:
        error_messages = {"device_uid": {"unique": TAKEN}}
        field_classes = {"labels": ObjectField}
        widgets = {"labels": UnfoldAdminTextareaWidget({"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices: Any = self.fields.get("type")
        if choices and self.instance.tenant_id:
            choices.queryset = DeviceType.objects.usable_by(self.instance.tenant_id)
        elif choices:
            choices.queryset = DeviceType.objects.select_related("tenant")
            choices.label_from_instance = with_owner


@admin.register(Device)
class DeviceAdmin(OwnTenantAdmin):
    form = DeviceForm
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
    change_form_outer_before_template = "admin/devices/device/links.html"
    state_fields: Any = [
        ("session", "since", "reason"), ("data", "data_since", "data_reason"),
        "last_seen", "created", "latest",
    ]  # fmt: skip
    add_fieldsets = [
        (None, {"fields": ["device_uid", "name", "tenant", "type", "is_enabled", "labels"]})
    ]
    fieldsets = [
        ("State", {"fields": state_fields}),
        ("Commands", {"fields": ["newest_commands"]}),
        ("Credentials", {"fields": ["newest_credentials"]}),
        ("Settings", add_fieldsets[0][1]),
    ]

    actions = ["new_credentials"]

    def get_urls(self) -> list[URLPattern]:
        doors = console, commands, credentials
        return [*(page for door in doors for page in door.pages(self)), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        hidden = () if request.user.has_perm("devices.view_credential") else ("Credentials",)
        return [each for each in super().get_fieldsets(request, obj) if each[0] not in hidden]

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        device: Any = super().get_object(request, *args, **kwargs)
        device.may_change_credentials = request.user.has_perm("devices.change_credential")
        return device

    def has_issue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.add_credential")

    @action(description="New credentials…", permissions=["issue"])
    def new_credentials(self, request: HttpRequest, queryset: DeviceQuerySet) -> HttpResponse:
        return credentials.begin(self, request, queryset)

    def get_queryset(self, request: HttpRequest) -> Any:
        devices: Any = super().get_queryset(request)
        return devices.with_facts()

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        shown = [*flatten(self.state_fields), "newest_commands", "newest_credentials"]
        return [*shown, "device_uid", "tenant"] if obj else []

    @display(ordering="state__session")
    def session(self, device: Device) -> SafeString:
        state = state_of(device)
        return coloured(state.get_session_display(), SESSION_COLOURS[Session(state.session)])

    @display(ordering=F("state__last_seen_at").asc(nulls_first=True))
    def last_seen(self, device: Device) -> str:
        return moment(state_of(device).last_seen_at)

    @display(description="session since")
    def since(self, device: Device) -> str:
        return moment(state_of(device).since)

    @display(description="why")
    def reason(self, device: Any) -> str:
        return device.session_reason

    @display(ordering="data_flow")
    def data(self, device: Any) -> SafeString:
        flow = DataFlow(device.data_flow)
        return coloured(flow.label, FLOW_COLOURS[flow])

    @display(description="data since")
    def data_since(self, device: Any) -> str:
        return moment(device.data_flow_since) if device.data_flow_since else "-"

    @display(description="why")
    def data_reason(self, device: Any) -> str:
        return device.data_flow_reason

    @display(description="registered")
    def created(self, device: Device) -> str:
        return moment(device.created_at)

    @display(description="newest commands")
    def newest_commands(self, device: Device) -> SafeString:
        return commands.newest(device)

    @display(description="newest credentials")
    def newest_credentials(self, device: Any) -> SafeString:
        return credentials.section(device, may_change=device.may_change_credentials)

    @display(description="latest values")
    def latest_in_brief(self, device: Device) -> str:
        latest = state_of(device).latest
        shown = [f"{key} {in_brief(latest[key][0])}" for key in sorted(latest)[:VALUES_IN_LIST]]
        hidden = len(latest) - len(shown)
        return ", ".join(shown) + (f" + {hidden} more" if hidden else "")

    @display(description="latest values")
    def latest(self, device: Device) -> SafeString:
        latest = state_of(device).latest
        rows = [
            (
                key,
                json.dumps(value, ensure_ascii=False),
                moment(datetime.fromtimestamp(at / 1000, UTC)),
            )
            for key, (value, at) in sorted(latest.items())[:VALUES_ON_PAGE]
        ]
        hidden = len(latest) - len(rows)
        return render_to_string(
            "admin/devices/device/latest.html", {"rows": rows, "hidden": hidden}
        )

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


class DeviceTypeForm(OwnTenantForm):
    class Meta:
        field_classes = {"fields": ObjectField}
        widgets = {"fields": UnfoldAdminTextareaWidget({"rows": 8})}


@admin.register(DeviceType)
class DeviceTypeAdmin(OwnTenantAdmin):
    form = DeviceTypeForm
    list_display = ["name", "tenant", "shared", "used_by", "offline_after", "retention_days"]
    list_filter = [("tenant", RelatedDropdownFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    ordering = ["name", "id"]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "offline_after", "retention_days", "fields"]})
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        seen = Q(devices__in=Device.objects.visible_to(person(request)))
        return super().get_queryset(request).annotate(device_count=Count("devices", filter=seen))

    def get_readonly_fields(self, request: HttpRequest, obj: DeviceType | None = None) -> list[str]:
        return ["tenant"] if obj else []

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What is of this type holds it; that nobody may delete a key is no reason to name."""
        what, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return what, counts, set() if protected else lacking, protected

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        kwargs["empty_label"] = "All tenants share it"
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: DeviceType | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_theirs(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: DeviceType | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_theirs(request, obj)

    def _is_theirs(self, request: HttpRequest, obj: DeviceType | None) -> bool:
        return obj is None or not obj.is_shared or person(request).is_superuser

    @display(boolean=True)
    def shared(self, kind: Any) -> bool:
        return kind.is_shared

    @display(description="devices", ordering="device_count")
    def used_by(self, kind: Any) -> int:
        return kind.device_count
