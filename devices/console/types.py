"""The console's pages of types of devices."""

from typing import Any

from django.db.models import Count, ForeignKey, Q
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import person
from devices.console.forms import DeviceTypeForm
from devices.console.tenants import OwnTenantAdmin
from devices.models import Device, DeviceType


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
