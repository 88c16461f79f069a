"""A device as the API shows it, made by PostgreSQL; `devices/serializers.py` describes it."""

from django.db.models import F, Func, JSONField, Value
from django.db.models.functions import Coalesce

from accounts.rest import JSONRow


class LatestValues(Func):
    """`DeviceState.latest` in the form of the API: key → value and time."""

    # Optimization: json; jsonb would be built first, and written as a text after.
    template = """(
        SELECT coalesce(json_object_agg(key, json_build_object(
            'value', value -> 0, 'ts', to_timestamp((value ->> 1)::float8 / 1000)
        )), '{}') FROM jsonb_each(%(expressions)s)
    )"""
    output_field = JSONField()


DEVICE_JSON = JSONRow(
    device_uid="device_uid",
    name="name",
    tenant="tenant__slug",
    type="type__name",
    is_enabled="is_enabled",
    labels="labels",
    session=Coalesce("state__session", Value("unknown")),
    session_since="state__since",
    last_seen_at="state__last_seen_at",
    latest=LatestValues(F("state__latest")),
    created_at="created_at",
)
