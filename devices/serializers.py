"""Devices and their types as they come in over the API, and the description of what goes out."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Tenant, validate_slug
from accounts.rest import StrictFields, person
from devices.models import Device, DeviceType, Session
from devices.validation import validate_labels

NO_TENANT = "You belong to no tenant: name the one that the device belongs to."
NO_TYPE = "Tenant {tenant} has no device type “{name}”. See /device-types."


class TenantField(serializers.SlugRelatedField):
    """The slug of a tenant. One that the person may not see does not exist for them."""

    default_error_messages = {
        "does_not_exist": "There is no tenant “{value}”. Leave it out for your own.",
        "invalid": "Use the slug of a tenant.",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="slug", **options)

    def get_queryset(self) -> Any:
        return Tenant.objects.visible_to(person(self.context["request"]))

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SentOnly(serializers.ModelSerializer):
    """Of two people who change the same thing each writes what they sent and nothing else."""

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save(update_fields=list(validated_data))
        return instance


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class LabelsField(serializers.JSONField):
    """Labels of a device."""


class LatestValueSerializer(serializers.Serializer):
    value = serializers.JSONField(help_text="As the device sent it.", allow_null=True)
    ts = serializers.DateTimeField(help_text="When it was measured.")


class DeviceSerializer(StrictFields, SentOnly):
    """Takes a device in; what goes out is made by PostgreSQL (`devices/representation.py`).

    Whether a uid is taken, only the database can tell: by an IntegrityError.
    """

    tenant = TenantField(
        queryset=Tenant.objects.all(),
        required=False,
        help_text="Slug. Your own unless you are platform staff. Never changes.",
    )
    type = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=128,
        help_text="Name of a device type, the tenant's own or a shared one.",
    )
    labels = LabelsField(
        required=False, validators=[validate_labels], help_text="Always replaced as a whole."
    )
    session = serializers.ChoiceField(
        Session.choices,
        read_only=True,
        help_text="Whether it holds a connection to the broker, as far as it said so itself.",
    )
    session_since = serializers.DateTimeField(read_only=True, allow_null=True)
    last_seen_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When its last message came; null before that."
    )
    latest = serializers.DictField(
        child=LatestValueSerializer(), read_only=True, help_text="The newest value of each key."
    )

    class Meta:
        model = Device
        fields = [
            "device_uid", "name", "tenant", "type", "is_enabled", "labels",
            "session", "session_since", "last_seen_at", "latest", "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_at"]
        extra_kwargs = {"device_uid": {"validators": [validate_slug]}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not self.instance and "tenant" not in attrs:
            attrs["tenant"] = self._own_tenant()
        if attrs.get("type") is not None:
            tenant = self.instance.tenant if self.instance else attrs["tenant"]
            attrs["type"] = self._type_of(tenant, attrs["type"])
        return attrs

    def _own_tenant(self) -> Tenant:
        tenant = person(self.context["request"]).tenant
        if tenant is None:
            raise serializers.ValidationError({"tenant": NO_TENANT}, "required")
        return tenant

    def _type_of(self, tenant: Tenant, name: str) -> DeviceType:
        found = DeviceType.objects.named(name, tenant.pk)
        if found is None:
            said = NO_TYPE.format(tenant=tenant.slug, name=name)
            raise serializers.ValidationError({"type": said}, "does_not_exist")
        return found


class DeviceChangeSerializer(DeviceSerializer):
    """What may change of a device."""

    class Meta(DeviceSerializer.Meta):
        fields = ["name", "type", "is_enabled", "labels"]
