"""Readings over the API: what may be asked for, and the description of what goes out."""

from typing import Any

from rest_framework import serializers

from accounts.rest import Keys, Moment, QueryParameters
from telemetry.models import MSG_ID_LENGTH

ORDERS = {"desc": ["-ts", "-id"], "asc": ["ts", "id"]}
"""How readings can be sorted: by time and, of equal times, by the order they came in."""


class ReadingSerializer(serializers.Serializer):
    """Describes what `telemetry/views.py` has PostgreSQL make."""

    device_uid = serializers.CharField()
    payload = serializers.JSONField(help_text="As the device sent it; of a plain text, `raw`.")
    ts = serializers.DateTimeField(help_text="When it was measured.")
    msg_id = serializers.CharField(max_length=MSG_ID_LENGTH)


class TimeRange(QueryParameters):
    """`from` (included) and `to` (not included)."""

    to = Moment(required=False, help_text="Before this moment.")

    def get_fields(self) -> dict[str, Any]:
        # A field cannot be declared under a keyword.
        start = Moment(required=False, help_text="Since this moment.")
        return {"from": start, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": "It has to be later than “from”."})
        return attrs


class ReadingsQuery(TimeRange):
    keys = Keys(required=False, help_text="Leave nothing but these keys in the payloads.")
    order = serializers.ChoiceField(
        list(ORDERS), default="desc", help_text="Newest first, or oldest first."
    )
