"""Devices and their types as they come in over the API, and the description of what goes out.

What goes out of devices is made by PostgreSQL (`devices/representation.py`). The docstrings of
serializers are in the published description of the API.
"""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.conflicts import Conflict
from accounts.fields import SentOnly, TenantField
from accounts.models import Tenant, validate_slug
from accounts.rest import StrictFields, person
from devices.facts import DataFlow
from devices.models import TYPE_TAKEN, Device, DeviceType, Session
from devices.validation import FIELD_NUMBERS, FIELD_TEXTS, validate_fields, validate_labels

NO_TENANT = _("You belong to no tenant: name the one that the device belongs to.")
NO_SHARED = "Only platform staff make types for all tenants. Leave it out for your own."
NO_TYPE = _("Tenant {tenant} has no device type “{name}”. See /device-types.")


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class LabelsField(serializers.JSONField):
    """Labels of a device."""


FIELD_SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": "string", "maxLength": most} for name, most in FIELD_TEXTS.items()},
        **{name: {"type": "number"} for name in FIELD_NUMBERS},
    },
    "additionalProperties": False,
}


@extend_schema_field({"type": "object", "additionalProperties": FIELD_SCHEMA})
class MeaningsField(serializers.JSONField):
    """What the keys of payloads mean."""


DEVICE = {
    "device_uid": "dev-01",
    "name": "Roof, north side",
    "tenant": "t0",
    "type": "weather station",
    "is_enabled": True,
    "labels": {"site": "Hanoi"},
    "session": "online",
    "session_since": "2026-01-14T09:30:00+00:00",
    "session_reason": "It said so itself.",
    "data_flow": "flowing",
    "data_flow_since": "2026-01-14T09:30:01.500000+00:00",
    "data_flow_reason": "Readings come without a pause of more than 300 s.",
    "last_seen_at": "2026-01-14T12:00:00.250000+00:00",
    "latest": {"temp": [21.5, 1768392000250]},
    "created_at": "2026-01-05T08:30:00+00:00",
}
NEW_DEVICE = {name: DEVICE[name] for name in ("device_uid", "name", "type", "labels")}
NEW_TYPE = {
    "name": "weather station",
    "offline_after": 300,
    "retention_days": 90,
    "fields": {"temp": {"label": "Temperature", "unit": "°C", "min": -40, "max": 60}},
}


@extend_schema_field(
    {
        "type": "array",
        "prefixItems": [{}, {"type": "number"}],
        "minItems": 2,
        "maxItems": 2,
        "description": "The value as the device sent it, and when it was measured: milliseconds "
        "since 1970.",
    }
)
class LatestField(serializers.ListField):
    """A value and its time, as `DeviceState.latest` has them."""


@extend_schema_serializer(
    examples=[
        OpenApiExample("A device", DEVICE, response_only=True),
        OpenApiExample("A new device", NEW_DEVICE, request_only=True),
    ]
)
class DeviceSerializer(StrictFields, SentOnly):
    """A device."""

    tenant = TenantField(
        required=False,
        help_text="Slug. Your own unless you are platform staff. Never changes.",
    )
    type = serializers.CharField(
        required=False,
        initial=None,
        allow_null=True,
        max_length=128,
        help_text="Name of a device type, the tenant's own or a shared one.",
    )
    labels = LabelsField(
        required=False,
        initial={},
        validators=[validate_labels],
        help_text="Always replaced as a whole.",
    )
    session = serializers.ChoiceField(
        Session.choices,
        read_only=True,
        help_text="Whether it holds a connection to the broker, as far as it said so itself.",
    )
    session_since = serializers.DateTimeField(read_only=True, allow_null=True)
    session_reason = serializers.CharField(
        read_only=True, help_text="Why it is thought so, for people."
    )
    data_flow = serializers.ChoiceField(
        DataFlow.choices,
        read_only=True,
        help_text="Whether readings come without a pause longer than the type's `offline_after`, "
        "whatever `session` says; unknown before the first one, and without such a type.",
    )
    data_flow_since = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Null while `data_flow` is unknown."
    )
    data_flow_reason = serializers.CharField(
        read_only=True, help_text="Why it is thought so, for people."
    )
    last_seen_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When its last message came; null before that."
    )
    latest = serializers.DictField(
        child=LatestField(),
        read_only=True,
        help_text="The newest value of each key. `GET /telemetry/{device_uid}/latest` has them "
        "with names.",
    )

    class Meta:
        model = Device
        fields = [
            "device_uid", "name", "tenant", "type", "is_enabled", "labels",
            "session", "session_since", "session_reason",
            "data_flow", "data_flow_since", "data_flow_reason",
            "last_seen_at", "latest", "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_at"]
        # That a uid is taken, the database says, also if somebody takes it at the same moment.
        extra_kwargs = {
            "device_uid": {"validators": [validate_slug]},
            "is_enabled": {
                "initial": True,
                "error_messages": {"invalid": "Use true or false."},
            },
        }

    shown = Meta.fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not self.instance and "tenant" not in attrs:
            attrs["tenant"] = self._own_tenant()
        if attrs.get("type") is not None:
            tenant = self.instance.tenant if self.instance else attrs["tenant"]
            attrs["type"] = type_named(attrs["type"], tenant)
        return attrs

    def _own_tenant(self) -> Tenant:
        tenant = person(self.context["request"]).tenant
        if tenant is None:
            raise serializers.ValidationError({"tenant": NO_TENANT}, "required")
        return tenant


def type_named(name: str, tenant: Tenant) -> DeviceType:
    """What a field `type` means that says `name`; raises ValidationError if that is nothing."""
    found = DeviceType.objects.named(name, tenant.pk)
    if found is None:
        said = NO_TYPE.format(tenant=tenant.slug, name=name)
        raise serializers.ValidationError({"type": said}, "does_not_exist")
    return found


@extend_schema_serializer(
    examples=[
        OpenApiExample("Switched off", {"is_enabled": False}, request_only=True),
        OpenApiExample("Other labels", {"labels": {"site": "Hue"}}, request_only=True),
    ]
)
class DeviceChangeSerializer(DeviceSerializer):
    """What may change of a device."""

    class Meta(DeviceSerializer.Meta):
        fields = ["name", "type", "is_enabled", "labels"]


@extend_schema_serializer(
    examples=[
        OpenApiExample("A type", {"id": 1, "tenant": "t0", **NEW_TYPE}, response_only=True),
        OpenApiExample("A new type", NEW_TYPE, request_only=True),
    ]
)
class DeviceTypeSerializer(StrictFields, SentOnly):
    """What devices of one make have in common."""

    tenant = TenantField(
        required=False,
        allow_null=True,
        help_text="Slug. Null: shared by all tenants, which only platform staff can make. "
        "Never changes.",
    )
    fields = MeaningsField(  # type: ignore[assignment]
        required=False,
        initial={},
        validators=[validate_fields],
        help_text="What keys of payloads mean. Always replaced as a whole.",
    )

    class Meta:
        model = DeviceType
        fields = ["id", "name", "tenant", "offline_after", "retention_days", "fields"]
        # Whether a name is taken is a conflict with other types, and no fault of the request.
        validators: list[Any] = []

    shown = Meta.fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        me = person(self.context["request"])
        tenant = self.instance.tenant if self.instance else attrs.setdefault("tenant", me.tenant)
        if tenant is None and not me.is_superuser:
            raise serializers.ValidationError({"tenant": NO_SHARED})
        pk = self.instance and self.instance.pk
        if "name" in attrs and DeviceType(pk=pk, tenant=tenant, name=attrs["name"]).is_name_taken():
            raise Conflict(TYPE_TAKEN)
        return attrs


@extend_schema_serializer(
    examples=[OpenApiExample("Kept for a month", {"retention_days": 30}, request_only=True)]
)
class DeviceTypeChangeSerializer(DeviceTypeSerializer):
    """What may change of a type."""

    class Meta(DeviceTypeSerializer.Meta):
        fields = ["name", "offline_after", "retention_days", "fields"]
