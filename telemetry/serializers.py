"""Readings over the API: what may be asked for, and the description of what goes out."""

import base64
import re
from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from accounts.rest import Keys, Moment, QueryParameters
from telemetry import examples
from telemetry.export import COLUMNS
from telemetry.models import MSG_ID_LENGTH, RejectedMessage
from telemetry.reasons import Reason
from telemetry.replay import DUPLICATE, REJECTED, STORED
from telemetry.series import AGGREGATES, DAY, EPOCH, HOUR, MINUTE, WEEK, Steps

ORDERS = {"desc": ["-ts", "-id"], "asc": ["ts", "id"]}
"""How readings can be sorted: by time and, of equal times, by the order they came in."""


MOST_POINTS = 10_000
AUTOMATIC_STEPS = 500
MOST_KEYS = 20
INTERVAL = "[1-9][0-9]{0,5}[smhdw]"
AGGREGATE = f"({'|'.join(AGGREGATES)})"


@extend_schema_serializer(examples=[OpenApiExample("A reading", examples.READING)])
class ReadingSerializer(serializers.Serializer):
    """What a device sent at one moment."""

    # Describes what PostgreSQL makes for `telemetry/views.py`.

    device_uid = serializers.CharField()
    payload = serializers.JSONField(help_text="As the device sent it; of a plain text, `raw`.")
    ts = serializers.DateTimeField(help_text="When it was measured.")
    msg_id = serializers.CharField(max_length=MSG_ID_LENGTH)


class TakenSerializer(serializers.Serializer):
    """What became of a message, in readings."""

    stored = serializers.IntegerField()
    duplicate = serializers.IntegerField(help_text="Known before.")
    rejected = serializers.IntegerField(help_text="0, or the answer is 422.")


class TimeRange(QueryParameters):
    """`from` (included) and `to` (not included)."""

    # So, here and below, as a keyword cannot be a name.
    locals()["from"] = Moment(required=False, help_text="Since this moment.")
    to = Moment(required=False, help_text="Before this moment.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": "It has to be later than “from”."})
        return attrs


class ReadingsQuery(TimeRange):
    keys = Keys(
        required=False,
        help_text="Leave nothing but these keys in the payloads, as in `temp,hum`.",
    )
    order = serializers.ChoiceField(
        list(ORDERS), default="desc", help_text="Newest first, or oldest first."
    )


class LatestQuery(QueryParameters):
    keys = Keys(
        required=False,
        help_text="Only these keys, as in `temp,hum`; those of them that there are.",
    )


@extend_schema_serializer(examples=[OpenApiExample("A number", examples.KEY)])
class KeySerializer(serializers.Serializer):
    """A key that a device has sent a value for."""

    # Describes what `KnownKeys` has PostgreSQL make.

    key = serializers.CharField()
    type = serializers.ChoiceField(
        ["number", "string", "boolean", "object", "array", "null"],
        help_text="That of the newest value.",
    )
    ts = serializers.DateTimeField(help_text="When the newest value was measured.")


@extend_schema_field({"type": "string", "pattern": f"^{INTERVAL}$"})
class Interval(serializers.Field):
    """The length of a step, written as 30s, 5m, 1h, 1d or 1w: a number of seconds."""

    SECONDS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}

    def to_internal_value(self, value: str) -> int:
        if not re.fullmatch(INTERVAL, value):
            raise serializers.ValidationError("Write it as 30s, 5m, 1h, 1d or 1w.")
        return int(value[:-1]) * self.SECONDS[value[-1]]

    def to_representation(self, value: int) -> str:
        unit = next(unit for unit, seconds in self.SECONDS.items() if value % seconds == 0)
        return f"{value // self.SECONDS[unit]}{unit}"


@extend_schema_field({"type": "string", "pattern": f"^{AGGREGATE}(,{AGGREGATE})*$"})
class Aggregates(serializers.Field):
    """Names of aggregates, separated by commas."""

    def to_internal_value(self, value: str) -> list[str]:
        names = list(dict.fromkeys(value.split(",")))
        if not set(names) <= set(AGGREGATES):
            possible = ", ".join(AGGREGATES)
            raise serializers.ValidationError(f"Choose from {possible}, separated by commas.")
        return names

    def to_representation(self, value: list[str]) -> str:
        return ",".join(value)


class SeriesQuery(TimeRange):
    """As `steps` it has the time range, the last 24 hours if none is given, cut into steps."""

    keys = Keys(most=MOST_KEYS, help_text=f"Names of up to {MOST_KEYS} keys, as in `temp,hum`.")
    interval = Interval(
        required=False,
        help_text="The length of a step, as in 30s, 5m, 1h, 1d, 1w. Left out: one that divides the "
        f"clock evenly and makes up to {AUTOMATIC_STEPS} steps.",
    )
    agg = Aggregates(
        default=["avg"],
        help_text=f"What to make of each step, as in `avg,max`, of {', '.join(AGGREGATES)}.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        now = timezone.now()
        if "to" not in attrs and attrs.get("from", EPOCH) >= now:
            advice = "It has to be earlier than now, unless there is a “to”."
            raise serializers.ValidationError({"from": advice})
        attrs.setdefault("to", now)
        for name in ("from", "to"):
            if attrs.get(name, EPOCH) < EPOCH:
                raise serializers.ValidationError({name: "There are no readings before 1970."})
        attrs.setdefault("from", max(attrs["to"] - timedelta(days=1), EPOCH))
        super().validate(attrs)
        return attrs | {"steps": self._steps(**attrs)}

    def _steps(self, keys: list[str], interval: int | None = None, **attrs: Any) -> Steps:
        start, end = attrs["from"], attrs["to"]
        if interval is None:
            return Steps.at_most(AUTOMATIC_STEPS, start, end)
        steps = Steps(start, end, interval)
        points, most = len(steps) * len(keys), MOST_POINTS // len(keys)
        if points > MOST_POINTS:
            enough = Interval().to_representation(Steps.at_most(most, start, end).seconds)
            advice = (
                f"This would be {points:,} points of at most {MOST_POINTS:,}. Use {enough} or "
                "longer, a shorter time, or fewer keys."
            )
            raise serializers.ValidationError({"interval": advice})
        return steps


@extend_schema_serializer(examples=[OpenApiExample("A quarter of an hour", examples.SERIES)])
class SeriesSerializer(serializers.Serializer):
    """Numbers in equal steps of time."""

    # Describes what `telemetry/series.py` makes.

    locals()["from"] = serializers.DateTimeField()
    device_uid = serializers.CharField()
    to = serializers.DateTimeField()
    interval = serializers.IntegerField(help_text="Seconds of a step.")
    ts = serializers.ListField(
        child=serializers.DateTimeField(),
        help_text="When each step begins: at multiples of the interval since 1970, in UTC.",
    )
    series = serializers.DictField(
        child=serializers.DictField(
            child=serializers.ListField(child=serializers.FloatField(allow_null=True))
        ),
        help_text="Key → aggregate → a value for each step; null (a count of 0) in a gap.",
    )


class ExportQuery(TimeRange):
    locals()["as"] = serializers.ChoiceField(["csv", "ndjson"], default="csv")
    keys = Keys(
        required=False,
        help_text="Only these keys, as in `temp,hum`: in CSV a column for each. Left out: all; in "
        "CSV those that `/keys` lists.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["as"] == "csv" and not set(COLUMNS).isdisjoint(attrs.get("keys", ())):
            advice = f"Leave out {' and '.join(COLUMNS)}: CSV has these columns anyway."
            raise serializers.ValidationError({"keys": advice})
        return super().validate(attrs)


class RejectedQuery(TimeRange):
    """`from` and `to` mean the time of receipt."""

    device_uid = serializers.CharField(required=False, max_length=128)
    reason = serializers.ChoiceField(Reason.choices, required=False)
    state = serializers.ChoiceField(
        ["open", "resolved"], required=False, help_text="Left out: both."
    )


@extend_schema_serializer(examples=[OpenApiExample("Not a number", examples.REJECTED)])
class RejectedSerializer(serializers.ModelSerializer):
    """A message that could not be stored, without its payload."""

    tenant: Any = serializers.SlugRelatedField(
        slug_field="slug", read_only=True, allow_null=True, help_text="Slug; null if unknown."
    )
    topic = serializers.SerializerMethodField(help_text="With � for what is not UTF-8.")

    class Meta:
        model = RejectedMessage
        fields = [
            "id", "tenant", "device_uid", "received_at", "topic", "size", "reason", "detail",
            "resolved_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_topic(self, rejected: RejectedMessage) -> str:
        return bytes(rejected.topic).decode(errors="replace")


@extend_schema_serializer(examples=[OpenApiExample("Not a number", examples.REJECTED_WHOLE)])
class RejectedWholeSerializer(RejectedSerializer):
    payload = serializers.SerializerMethodField(help_text="As text; null if it is not UTF-8.")
    payload_base64 = serializers.SerializerMethodField(
        help_text="The bytes as they came; of a message that was too large, their beginning."
    )

    class Meta(RejectedSerializer.Meta):
        fields = [*RejectedSerializer.Meta.fields, "payload", "payload_base64"]
        read_only_fields = fields

    def get_payload(self, rejected: RejectedMessage) -> str | None:
        try:
            return bytes(rejected.payload).decode()
        except UnicodeDecodeError:
            return None

    def get_payload_base64(self, rejected: RejectedMessage) -> str:
        return base64.b64encode(rejected.payload).decode()


@extend_schema_serializer(examples=[OpenApiExample("Stored", examples.REPLAYED)])
class ReplayedSerializer(RejectedSerializer):
    outcome = serializers.ChoiceField([STORED, DUPLICATE, REJECTED], read_only=True)

    class Meta(RejectedSerializer.Meta):
        fields = ["outcome", *RejectedSerializer.Meta.fields]
        read_only_fields = fields
