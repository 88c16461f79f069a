"""Enrolment over the API: what comes in and what goes out.

The docstrings of serializers are in the published description of the API.
"""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.conflicts import Conflict
from accounts.fields import SentOnly, TenantField
from accounts.models import validate_slug
from accounts.rest import Moment, StrictFields, person
from devices.credentials.access import topics_of
from devices.credentials.serializers import TopicsSerializer
from devices.enrolment import examples
from devices.enrolment.enrolling import Enrolled
from devices.enrolment.keys import (
    FEWER_THAN_CAME,
    IN_THE_PAST,
    WAS_REVOKED,
    KeyState,
    Made,
    state_of,
)
from devices.models import Enrolment, EnrolmentKey
from devices.serializers import type_named

NO_TENANT = "You belong to no tenant: name the one that devices enrol in."
LONGEST_KEY = 256


@extend_schema_serializer(examples=[OpenApiExample("A key", examples.KEY, response_only=True)])
class EnrolmentKeySerializer(StrictFields, SentOnly):
    """A key that devices enrol with. The key itself is never shown again."""

    tenant = TenantField(
        required=False,
        help_text="Slug. Your own unless you are platform staff. Never changes.",
    )
    type = serializers.SerializerMethodField(
        help_text="Name of a device type, the tenant's own or a shared one, that new devices get. "
        "Never changes."
    )
    state = serializers.SerializerMethodField(
        help_text="`used_up`: for no new device, but still for those that enrolled with it."
    )
    created_by = serializers.SerializerMethodField(help_text="E-mail address.")
    expires_at = Moment(help_text="After that it is good for no device.")

    class Meta:
        model = EnrolmentKey
        fields = [
            "id", "name", "tenant", "type", "state", "quota", "uses",
            "created_at", "created_by", "expires_at", "revoked_at",
        ]  # fmt: skip
        read_only_fields = ["created_at"]
        extra_kwargs = {
            "uses": {"help_text": "How many devices have enrolled with it."},
            "revoked_at": {"help_text": "Since when it is good for no device, if it was revoked."},
        }

    shown = (*Meta.fields, "key")

    @extend_schema_field({"type": ["string", "null"]})
    def get_type(self, key: EnrolmentKey) -> str | None:
        return key.type.name if key.type else None

    @extend_schema_field({"type": "string", "enum": KeyState.values})
    def get_state(self, key: EnrolmentKey) -> str:
        return state_of(key).value

    @extend_schema_field({"type": ["string", "null"]})
    def get_created_by(self, key: EnrolmentKey) -> str | None:
        return key.created_by.email if key.created_by else None

    def validate_expires_at(self, at: datetime) -> datetime:
        if at <= timezone.now():
            raise serializers.ValidationError(IN_THE_PAST, "in_the_past")
        return at


@extend_schema_serializer(
    examples=[OpenApiExample("A key for 500 devices", examples.NEW_KEY, request_only=True)]
)
class NewEnrolmentKeySerializer(EnrolmentKeySerializer):
    """A key to be made."""

    type = serializers.CharField(  # type: ignore[assignment]
        required=False,
        initial=None,
        allow_null=True,
        max_length=128,
        help_text="Name of a device type, the tenant's own or a shared one, that new devices get. "
        "Without one they have none.",
    )

    def get_initial(self) -> Any:
        """The form on the API's page begins with a time that has to be chosen."""
        return {**super().get_initial(), "expires_at": None}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        tenant = attrs.setdefault("tenant", person(self.context["request"]).tenant)
        if tenant is None:
            raise serializers.ValidationError({"tenant": NO_TENANT}, "required")
        if attrs.get("type") is not None:
            attrs["type"] = type_named(attrs["type"], tenant)
        return attrs


@extend_schema_serializer(
    examples=[OpenApiExample("For more devices", {"quota": 800}, request_only=True)]
)
class EnrolmentKeyChangeSerializer(EnrolmentKeySerializer):
    """What may change of a key."""

    class Meta(EnrolmentKeySerializer.Meta):
        fields = ["name", "quota", "expires_at"]

    def validate_quota(self, quota: int) -> int:
        key: Any = self.instance
        if quota < key.uses:
            said = FEWER_THAN_CAME.format(uses=key.uses)
            raise serializers.ValidationError(said, "too_few")
        return quota

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        key: Any = self.instance
        if key.revoked_at and attrs.keys() - {"name"}:
            raise Conflict(WAS_REVOKED)
        return attrs


@extend_schema_serializer(
    examples=[OpenApiExample("A new key", examples.MADE, response_only=True, status_codes=["201"])]
)
class EnrolmentKeyMadeSerializer(EnrolmentKeySerializer):
    """A key that was just made."""

    key = serializers.CharField(help_text="What devices show. Nobody can be shown it again.")

    class Meta(EnrolmentKeySerializer.Meta):
        fields = [*EnrolmentKeySerializer.Meta.fields, "key"]

    def to_representation(self, made: Made) -> Any:
        shown = EnrolmentKeySerializer(made.key, context=self.context).data
        return {**shown, "key": made.secret}


@extend_schema_serializer(examples=[OpenApiExample("A device", examples.DEVICE)])
class EnrolmentSerializer(serializers.ModelSerializer):
    """That a device enrolled with a key."""

    device_uid = serializers.CharField(source="device.device_uid")

    class Meta:
        model = Enrolment
        fields = ["device_uid", "first_at", "last_at", "count"]
        extra_kwargs = {"count": {"help_text": "How often: more than once if it was flashed anew."}}


@extend_schema_serializer(
    examples=[OpenApiExample("A new device", examples.ENROL, request_only=True)]
)
class EnrolSerializer(StrictFields):
    """A device that asks to be let in."""

    key = serializers.CharField(
        max_length=LONGEST_KEY, trim_whitespace=False, help_text="That of its firmware."
    )
    device_uid = serializers.CharField(
        max_length=128,
        trim_whitespace=False,
        validators=[validate_slug],
        help_text="What it calls itself, for ever: a serial number, or an address of its hardware.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("It may connect", examples.ENROLLED, status_codes=["201", "200"]),
    ]
)
class EnrolledSerializer(serializers.Serializer):
    """What a device connects to the broker with."""

    device_uid = serializers.CharField()
    tenant = serializers.CharField(help_text="Slug.")
    username = serializers.CharField()
    client_id = serializers.CharField(help_text="Exactly this.")
    token = serializers.CharField(help_text="Its password. Nobody can be shown it again.")
    topics = TopicsSerializer()
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When the token ends; null for never."
    )

    def to_representation(self, enrolled: Enrolled) -> Any:
        device, uid = enrolled.device, enrolled.device.device_uid
        return {
            "device_uid": uid,
            "tenant": device.tenant.slug,
            "username": uid,
            "client_id": uid,
            "token": enrolled.issued.token,
            "topics": topics_of(device),
            "expires_at": enrolled.issued.credential.expires_at,
        }
