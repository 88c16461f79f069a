"""Devices as they come in over the API, and the description of what goes out."""

from rest_framework import serializers

from accounts.models import Tenant
from accounts.rest import StrictFields
from devices.models import Device, DeviceType, Session


class LatestValueSerializer(serializers.Serializer):
    value = serializers.JSONField(help_text="As the device sent it.", allow_null=True)
    ts = serializers.DateTimeField()


class DeviceSerializer(StrictFields, serializers.ModelSerializer):
    """Takes a device in; what goes out is made by PostgreSQL (`devices/representation.py`)."""

    tenant = serializers.SlugRelatedField(
        slug_field="slug",
        queryset=Tenant.objects.none(),
        required=False,
        help_text="Slug. Your own unless you are platform staff. Never changes.",
    )
    type = serializers.SlugRelatedField(
        slug_field="name",
        queryset=DeviceType.objects.none(),
        required=False,
        allow_null=True,
        help_text="Name of a device type.",
    )
    session = serializers.ChoiceField(Session.choices, read_only=True)
    session_since = serializers.DateTimeField(read_only=True, allow_null=True)
    last_seen_at = serializers.DateTimeField(read_only=True, allow_null=True)
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
