"""The console's pages of types of devices."""

from typing import Any

from django.db.models import Count, ForeignKey, Q
from django.forms import ModelChoiceField
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import person
from accounts.words import listed, number
from devices.commands.console.shown import LINK
from devices.console.forms import DeviceTypeForm
from devices.console.tenants import OwnTenantAdmin
from devices.models import Device, DeviceState, DeviceType

KEYS_SHOWN = 20
DEVICES_ASKED = 20
"""So many devices say what keys there are; others of the same make send the same."""


class DeviceTypeAdmin(OwnTenantAdmin):
    form = DeviceTypeForm
    list_display = ["name", "tenant", "shared", "devices", "offline_after", "retention_days"]
    list_filter = [("tenant", RelatedDropdownFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    ordering = ["name", "id"]
    nothing_yet = _(
        "An admin of your tenant can make one: it says what the keys of readings mean, and when a "
        "device counts as silent."
    )
    add_fieldsets = [
        (None, {"fields": ["name", "tenant", "offline_after", "retention_days", "fields"]})
    ]
    fieldsets = [
        (None, {"fields": ["devices", "name", "tenant", "offline_after", "retention_days"]}),
        (_("Meaning of keys"), {"fields": ["fields", "undescribed"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shown = super().get_fieldsets(request, obj)
        if not obj or self.has_change_permission(request, obj):
            return shown
        # Nobody reads JSON who need not write it.
        to_read = {"fields": "meaning"}
        return [
            (title, {**options, "fields": [to_read.get(name, name) for name in options["fields"]]})
            for title, options in shown
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        seen = Q(devices__in=Device.objects.visible_to(person(request)))
        return super().get_queryset(request).annotate(device_count=Count("devices", filter=seen))

    def get_readonly_fields(self, request: HttpRequest, obj: DeviceType | None = None) -> list[str]:
        return ["tenant", "devices", "meaning", "undescribed"] if obj else []

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What is of this type holds it; that nobody may delete a key is no reason to name."""
        what, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return what, counts, set() if protected else lacking, protected

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        kwargs["empty_label"] = _("All tenants share it")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: DeviceType | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_theirs(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: DeviceType | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_theirs(request, obj)

    def _is_theirs(self, request: HttpRequest, obj: DeviceType | None) -> bool:
        return obj is None or not obj.is_shared or person(request).is_superuser

    @display(description=_("shared"), boolean=True)
    def shared(self, kind: Any) -> bool:
        return kind.is_shared

    @display(description=_("devices"), ordering="device_count")
    def devices(self, kind: Any) -> SafeString | str:
        count = kind.device_count
        said = ngettext("{count} device", "{count} devices", count).format(count=number(count))
        page = reverse("admin:devices_device_changelist")
        return format_html(LINK, f"{page}?type={kind.pk}", said) if count else gettext("none yet")

    @display(description=_("keys"))
    def meaning(self, kind: DeviceType) -> SafeString | None:
        rows = sorted(kind.fields.items())
        return render_to_string("admin/devices/devicetype/fields.html", {"rows": rows})

    @display(description=_("not described yet"))
    def undescribed(self, kind: DeviceType) -> str:
        """Keys that devices of the type send, of which it does not say what they mean."""
        heard = DeviceState.objects.filter(device__in=self._some_of(kind)).values_list("latest")
        keys = sorted({key for (latest,) in heard for key in latest} - kind.fields.keys())
        return listed(keys, KEYS_SHOWN) or gettext("All keys that its devices send are described.")

    def _some_of(self, kind: DeviceType) -> Any:
        devices = Device.objects.filter(type=kind, deleted_at=None, state__isnull=False)
        return devices.values("pk")[:DEVICES_ASKED]
