"""Commands as they come in over the API, and the description of what goes out.

What goes out is made by PostgreSQL (`devices/commands/representation.py`). The docstrings of
serializers are in the published description of the API.
"""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.fields import TenantField
from accounts.rest import QueryParameters, StrictFields, person
from devices.commands import examples
from devices.commands.sending import LIFE, LONGEST_LIFE, Order
from devices.models import CommandStatus, ReplyStatus
from devices.models.commands import CMD_LENGTH
from devices.serializers import LabelsField
from devices.validation import validate_cmd, validate_labels, validate_params

NO_TENANT = "You belong to no tenant: name the one whose devices are meant."
ONE_OF = 'Say which devices by one of “device_uids”, “labels” and “all”, as in {"all": true}.'
NO_LABELS = 'Name at least one label, or use {"all": true}.'
NOT_ALL = "Use true, or leave it out."
NOT_SECONDS = "Use a whole number of seconds."
TARGETS = ("device_uids", "labels", "all")
UID_LENGTH = 128


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """Any object of JSON."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ParamsField(serializers.JSONField):
    """What goes with a command; null, which the service before took, is nothing."""


@extend_schema_field({"type": "string"})
class TargetTenantField(TenantField):
    """The slug of the tenant whose devices are meant."""


class UidField(serializers.CharField):
    """A uid; a number is none, though REST framework would make it one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Put it in quotes: it is a text.", "invalid")
        return super().to_internal_value(data)


class SecondsField(serializers.IntegerField):
    """A whole number; REST framework would make one of a text and of 5.0 too."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            raise serializers.ValidationError(NOT_SECONDS, "invalid")
        return super().to_internal_value(data)


class AllField(serializers.BooleanField):
    """True and nothing else, where REST framework would take “yes” and 1 too."""

    def to_internal_value(self, data: Any) -> bool:
        if data is not True:
            raise serializers.ValidationError(NOT_ALL, "invalid")
        return True


@extend_schema_serializer(
    examples=[OpenApiExample("A restart within an hour", examples.ORDER, request_only=True)]
)
class OrderSerializer(StrictFields):
    """What a device shall do."""

    cmd = serializers.CharField(
        max_length=CMD_LENGTH,
        trim_whitespace=False,
        validators=[validate_cmd],
        help_text="What to do, in words that the device knows.",
    )
    params = ParamsField(
        required=False,
        allow_null=True,
        initial={},
        validators=[validate_params],
        help_text="What the device has to know for it.",
    )
    expires_in = SecondsField(
        required=False,
        initial=int(LIFE.total_seconds()),
        min_value=1,
        max_value=int(LONGEST_LIFE.total_seconds()),
        help_text="For how many seconds it is worth doing: a day if nothing is said. What the "
        "device did not take by then is not sent any more.",
    )

    @property
    def order(self) -> Order:
        given = self.validated_data
        life = timedelta(seconds=given["expires_in"]) if "expires_in" in given else LIFE
        return Order(given["cmd"], given.get("params") or {}, life)


class TargetSerializer(StrictFields):
    """Which devices of a tenant are meant: one of three ways to choose them."""

    device_uids = serializers.ListField(
        child=UidField(max_length=UID_LENGTH),
        required=False,
        allow_empty=False,
        help_text="These. With one that is not there, nothing is done.",
    )
    labels = LabelsField(
        required=False,
        validators=[validate_labels],
        help_text="Those that have all of these labels.",
    )
    all = AllField(required=False, help_text="All of the tenant: true.")
    tenant = TargetTenantField(
        required=False,
        help_text="Slug. Your own unless you are platform staff.",
    )

    def get_initial(self) -> Any:
        """The form on the API's page begins with one way to choose, and not with all devices."""
        return {
            name: each for name, each in super().get_initial().items() if name not in TARGETS[1:]
        }

    def validate_labels(self, labels: dict[str, str]) -> dict[str, str]:
        if not labels:
            raise serializers.ValidationError(NO_LABELS, "empty")
        return labels

    def validate_device_uids(self, uids: list[str]) -> list[str]:
        return list(dict.fromkeys(uids))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs.keys() & set(TARGETS)) != 1:
            raise serializers.ValidationError(ONE_OF, "one_of")
        attrs.setdefault("tenant", person(self.context["request"]).tenant)
        if attrs["tenant"] is None:
            raise serializers.ValidationError({"tenant": NO_TENANT}, "required")
        return attrs

    @property
    def target(self) -> dict[str, Any]:
        return {name: self.validated_data[name] for name in TARGETS if name in self.validated_data}


@extend_schema_serializer(
    examples=[
        OpenApiExample("To devices with a label", examples.TO_LABELS, request_only=True),
        OpenApiExample("To some devices", examples.TO_NAMED, request_only=True),
        OpenApiExample("To all of a tenant", examples.TO_ALL, request_only=True),
    ]
)
class OrderToManySerializer(OrderSerializer, TargetSerializer):
    """What many devices of a tenant shall do, and which: one of three ways to choose them."""


class SendQuery(QueryParameters):
    dry_run = serializers.BooleanField(
        default=False, help_text="Only tell how many devices it would be sent to."
    )


class StepSerializer(serializers.Serializer):
    """What a command came to, when, and who or what was the reason."""

    status = serializers.ChoiceField(CommandStatus.choices)
    at = serializers.DateTimeField()
    by = serializers.CharField(
        allow_null=True, help_text="Who asked for it: an e-mail address, or as “terminal, alice”."
    )
    detail = serializers.CharField(allow_null=True)


@extend_schema_serializer(examples=[OpenApiExample("It was carried out", examples.SUCCEEDED)])
class CommandSerializer(serializers.Serializer):
    """One command to one device."""

    id = serializers.UUIDField(help_text="The device knows it by this too.")
    device_uid = serializers.CharField()
    cmd = serializers.CharField()
    params = ObjectField()
    status = serializers.ChoiceField(
        CommandStatus.choices,
        help_text="How far it has come, by evidence alone. `sent`: the broker has it, which proves "
        "nothing about the device. `acknowledged`: the device has it.",
    )
    reason = serializers.CharField(
        allow_null=True, help_text="Why it is not further, or how far the device says it is."
    )
    issued_by = serializers.CharField(
        allow_null=True, help_text="E-mail address; null: from a terminal, or of somebody deleted."
    )
    batch = serializers.UUIDField(allow_null=True, help_text="The one that it belongs to.")
    created_at = serializers.DateTimeField()
    claimed_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when it may be on its way, and cannot be cancelled."
    )
    sent_at = serializers.DateTimeField(allow_null=True, help_text="First taken by the broker.")
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(
        allow_null=True, help_text="When it succeeded, failed, expired or was cancelled."
    )
    expires_at = serializers.DateTimeField()
    is_late = serializers.BooleanField(
        help_text="The device replied when the command had expired or been cancelled."
    )
    reply = serializers.ChoiceField(
        ReplyStatus.choices, allow_null=True, help_text="What the device said last."
    )
    result = serializers.JSONField(help_text="What the device sent with it; null too.")
    error = serializers.CharField(allow_null=True, help_text="What the device says went wrong.")


@extend_schema_serializer(
    examples=[OpenApiExample("It is queued", {"ok": True, **examples.QUEUED}, status_codes=["202"])]
)
class CommandSentSerializer(CommandSerializer):
    """A command that was accepted. It survives whatever happens to the platform from now on."""

    ok = serializers.BooleanField(help_text="Always true.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("It was carried out", {**examples.SUCCEEDED, "transitions": examples.STEPS})
    ]
)
class CommandWholeSerializer(CommandSerializer):
    """One command to one device, with its history."""

    transitions = StepSerializer(many=True)


class SkippedSerializer(serializers.Serializer):
    """A device that a command was not queued for, and why."""

    device_uid = serializers.CharField()
    reason = serializers.CharField()


class CountsSerializer(serializers.Serializer):
    """How many commands are in each state."""

    locals().update({each.value: serializers.IntegerField(min_value=0) for each in CommandStatus})


@extend_schema_serializer(examples=[OpenApiExample("Two of three are done", examples.BATCH)])
class BatchSerializer(serializers.Serializer):
    """One command to many devices of a tenant, and how far they are."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(help_text="Slug.")
    cmd = serializers.CharField()
    params = ObjectField()
    issued_by = serializers.CharField(allow_null=True, help_text="E-mail address.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(
        allow_null=True, help_text="When somebody first asked to cancel what is not sent."
    )
    total = serializers.IntegerField(help_text="Its commands, but those to deleted devices.")
    counts = CountsSerializer()
    late = serializers.IntegerField(help_text="Those with `is_late`.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("Two of three are done", examples.BATCH_WHOLE, status_codes=["200", "202"])
    ]
)
class BatchWholeSerializer(BatchSerializer):
    """One command to many devices, with how they were chosen and which were left out."""

    target = ObjectField(help_text="`device_uids`, `labels` or `all`, as it was asked for.")
    skipped = SkippedSerializer(many=True, help_text="Chosen, but it could not be queued for them.")


@extend_schema_serializer(examples=[OpenApiExample("To three devices", examples.REHEARSED)])
class RehearsedSerializer(serializers.Serializer):
    """What a command to many would do."""

    dry_run = serializers.BooleanField(help_text="Always true: nothing was sent.")
    total = serializers.IntegerField(help_text="How many it would be queued for.")
    skipped = SkippedSerializer(many=True)
