"""Credentials as they are asked for over the API, and the description of what goes out.

What goes out is made by PostgreSQL (`devices/credentials/representation.py`). The docstrings of
serializers are in the published description of the API.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models import User
from accounts.rest import Moment, StrictFields, person
from devices.commands.serializers import UID_LENGTH, SecondsField, TargetSerializer, UidField
from devices.credentials import examples
from devices.credentials.files import COLUMNS
from devices.credentials.issuing import AT_ONCE, LONGEST_OVERLAP, Terms
from devices.models import Device, Origin
from devices.mqtt.rights import Action
from devices.mqtt.topics import KINDS

MOST_FURTHER = 1_000
PAST = _("This is past. Name a moment to come, or leave it out.")
NOT_FURTHER = _("There are no such devices: {uids}. Correct them, or leave them out.")
TOKEN = "[!-~]{32,128}"
NOT_A_TOKEN = (
    "A token has 32 to 128 characters: letters, digits and signs of ASCII, without spaces."
)


def validate_end(at: datetime | None) -> None:
    """Whether a credential can end then."""
    if at is not None and at <= timezone.now():
        raise serializers.ValidationError(PAST, "past")


def end_field(**options: Any) -> Moment:
    return Moment(
        required=False,
        allow_null=True,
        validators=[validate_end],
        help_text="Until when a device may connect with it; never ending if nothing is said.",
        **options,
    )


class TermsSerializer(StrictFields):
    """What holds for new credentials."""

    expires_at = end_field()
    overlap = SecondsField(
        required=False,
        initial=0,
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="For how many seconds those so far live on: 0 if nothing is said. Mosquitto "
        "knows one token a device, so there it cannot be set.",
    )

    def terms(self) -> Terms:
        given = self.validated_data
        overlap = timedelta(seconds=given["overlap"]) if "overlap" in given else AT_ONCE
        return Terms(expires_at=given.get("expires_at"), overlap=overlap)


def further_field(more: str) -> serializers.ListField:
    """Whom a credential speaks for; `more` says what holds if nothing is said."""
    return serializers.ListField(
        child=UidField(max_length=UID_LENGTH),
        required=False,
        max_length=MOST_FURTHER,
        help_text="Uids of further devices of its tenant, that this one speaks for over the same "
        f"connection. {more}",
    )


def further_of(user: User, uids: Iterable[str]) -> list[Device]:
    """The devices with these uids, as far as the user may see them; an error if some are none."""
    asked = set(uids)
    found = list(Device.objects.visible_to(user).filter(device_uid__in=asked))
    if unknown := asked - {device.device_uid for device in found}:
        said = NOT_FURTHER.format(uids=", ".join(sorted(unknown)))
        raise serializers.ValidationError(said, "unknown")
    return found


@extend_schema_serializer(
    examples=[OpenApiExample("For two meters", examples.GATEWAY, request_only=True)]
)
class CredentialChangeSerializer(StrictFields):
    """What may change of a credential: whom it speaks for."""

    gateway_for = further_field("Always replaced as a whole.")

    def validate_gateway_for(self, uids: list[str]) -> list[Device]:
        return further_of(person(self.context["request"]), uids)


@extend_schema_serializer(
    examples=[
        OpenApiExample("For a year", examples.ASKED, request_only=True),
        OpenApiExample("The former one for a day more", examples.ROTATION, request_only=True),
        OpenApiExample("For a gateway", examples.GATEWAY, request_only=True),
    ]
)
class IssueSerializer(TermsSerializer, CredentialChangeSerializer):
    """A new credential of a device; nothing has to be said."""

    gateway_for = further_field(
        "If nothing is said, those of its newest credential, whether or not that has ended."
    )

    def terms(self) -> Terms:
        return super().terms()._replace(gateway_for=self.validated_data.get("gateway_for"))


class IssueToManySerializer(TermsSerializer, TargetSerializer):
    """New credentials of many devices of a tenant, and of which: one of three ways to choose them.

    Gateways stay what they are.
    """


@extend_schema_serializer(examples=[OpenApiExample("In force", examples.CREDENTIAL)])
class CredentialSerializer(serializers.Serializer):
    """What a device proves with that it is itself; its token is known to the device alone."""

    id = serializers.IntegerField()
    device_uid = serializers.CharField()
    origin = serializers.ChoiceField(
        Origin.choices,
        help_text="`issued` here, `imported` with a token that the device had already, or "
        "`enrolled`: the device asked for it itself.",
    )
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(
        allow_null=True, help_text="E-mail address; null: the device itself, or somebody deleted."
    )
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(
        allow_null=True, help_text="When it ended before its time, or another took its place."
    )
    last_used_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When a device last used it, as far as it is known. Of connections EMQX alone "
        "tells: with another broker it is the last request over HTTP.",
    )
    is_in_force = serializers.BooleanField(help_text="Neither revoked nor expired.")
    gateway_for = serializers.ListField(
        child=serializers.CharField(), help_text="Uids of those that it speaks for as well."
    )


class TopicsSerializer(serializers.Serializer):
    """The device's own topics, by kind."""

    locals().update({kind: serializers.CharField() for kind in KINDS})


@extend_schema_serializer(
    examples=[OpenApiExample("Shown once", examples.ISSUED, status_codes=["201"])]
)
class IssuedSerializer(CredentialSerializer):
    """A new credential, with all that goes into the device. The token is shown this once."""

    username = serializers.CharField(help_text="For MQTT: the uid.")
    client_id = serializers.CharField(help_text="For MQTT: the uid, exactly.")
    token = serializers.CharField(help_text="For MQTT: the password.")
    topics = TopicsSerializer()
    notice = serializers.CharField(
        allow_null=True, help_text="For people: what stands between the device and the broker."
    )


class RightSerializer(serializers.Serializer):
    action = serializers.ChoiceField([each.value for each in Action])
    topic = serializers.CharField()


class PendingSerializer(serializers.Serializer):
    """What the broker has still to be told about a device."""

    pending = serializers.BooleanField(help_text="Until it is false the broker knows older things.")
    since = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField(help_text="How often it was tried in vain.")
    error = serializers.CharField(allow_null=True, help_text="What came of the last attempt.")


@extend_schema_serializer(examples=[OpenApiExample("A broker that is away", examples.ACCESS)])
class AccessSerializer(serializers.Serializer):
    """What a device may do at the broker, and whether the broker knows."""

    device_uid = serializers.CharField()
    username = serializers.CharField()
    client_id = serializers.CharField()
    is_admitted = serializers.BooleanField(help_text="Whether it may connect.")
    reason = serializers.CharField(allow_null=True, help_text="Why not, and what to do.")
    rights = RightSerializer(
        many=True,
        help_text="What it may do once it is admitted, with its newest credential; nothing else.",
    )
    broker = PendingSerializer()


@extend_schema_field({"type": "string", "pattern": f"^{TOKEN}$"})
class TokenField(serializers.RegexField):
    """A token of whatever making, which no error repeats."""

    def __init__(self, **options: Any) -> None:
        messages: Any = {"invalid": NOT_A_TOKEN, "blank": NOT_A_TOKEN}
        super().__init__(rf"^{TOKEN}\Z", trim_whitespace=False, error_messages=messages, **options)


class TokenRowSerializer(StrictFields):
    """A token that a device has already, as a file gives it."""

    device_uid = UidField(max_length=UID_LENGTH)
    token = TokenField(help_text="As the device has it.")
    expires_at = end_field()


class NewTokenSerializer(serializers.Serializer):
    """All that goes into a device. The token is in this file and nowhere else."""

    locals().update({name: serializers.CharField() for name in COLUMNS if name != "expires_at"})
    expires_at = serializers.DateTimeField(allow_null=True)
