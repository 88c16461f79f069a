"""The forms of devices and of their types."""

import json
from typing import Any

from django.forms import JSONField, ModelForm
from django.forms.fields import InvalidJSONInput
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
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

    def prepare_value(self, value: Any) -> Any:
        # A member a line: people read it.
        is_typed = isinstance(value, InvalidJSONInput)
        return value if is_typed else json.dumps(value, ensure_ascii=False, indent=2)

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


FIELDS_HELP = _(
    "What the keys of its readings mean, as an object of JSON. Each key may have a label and a "
    "unit, by which pages and charts show it, and a min and a max, outside of which a value stands "
    "out. Leave out what you do not know. For example:"
)
EXAMPLE = """{
  "temp": {"label": "Temperature", "unit": "°C", "min": -40, "max": 60},
  "hum": {"label": "Humidity", "unit": "%"},
  "door": {"label": "Door"}
}"""


# Not before a page is made, which is when the language is known.
explained = lazy(
    lambda text, example: format_html('{}<pre class="console-text mt-1">{}</pre>', text, example),
    SafeString,
)


class DeviceTypeForm(OwnTenantForm):
    class Meta:
        field_classes = {"fields": ObjectField}
        widgets = {"fields": UnfoldAdminTextareaWidget({"rows": 12, "spellcheck": "false"})}
        help_texts = {"fields": explained(FIELDS_HELP, EXAMPLE)}
