"""The forms of devices and of their types."""

from typing import Any

from django.forms import JSONField, ModelForm
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminTextareaWidget

from devices.models import TAKEN, DeviceType


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


class DeviceTypeForm(OwnTenantForm):
    class Meta:
        field_classes = {"fields": ObjectField}
        widgets = {"fields": UnfoldAdminTextareaWidget({"rows": 8})}
