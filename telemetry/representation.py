"""Readings as the API shows them, made by PostgreSQL; `telemetry/serializers.py` describes them."""

from django.db.models import F, Func, JSONField, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast

from accounts.rest import JSONRow
from devices.models import DeviceQuerySet
from devices.representation import LatestValues
from telemetry.models import TelemetryQuerySet


class OnlyKeys(Func):
    """The given keys of a JSON object, those that it has."""

    template = """(
        SELECT coalesce(jsonb_object_agg(key, value), '{}')
        FROM jsonb_each(%(expressions)s)
    )"""
    arg_joiner = ") WHERE key = ANY("
    output_field = JSONField()


class KnownKeys(Func):
    """The keys of `DeviceState.latest`, each with the type of its value and the time."""

    template = """(
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'key', key,
            'type', jsonb_typeof(value -> 0),
            'ts', 'epoch'::timestamptz + (value ->> 1)::float8 * interval '1 millisecond'
        ) ORDER BY key COLLATE "C"), '[]') FROM jsonb_each(%(expressions)s)
    )"""
    output_field = JSONField()


def as_json(
    readings: TelemetryQuerySet, device_uid: str, keys: list[str] | None
) -> TelemetryQuerySet:
    """With `json`, a reading as the API shows it."""
    payload = OnlyKeys("payload", Value(keys)) if keys else "payload"
    return readings.annotate(
        json=JSONRow(device_uid=Value(device_uid), payload=payload, ts="ts", msg_id="msg_id")
    )


def with_latest(devices: DeviceQuerySet, keys: list[str] | None) -> DeviceQuerySet:
    """With `json`, the newest value of each key, or of those in `keys`."""
    latest: Combinable = F("state__latest")
    if keys:
        latest = OnlyKeys(latest, Value(keys))
    return devices.annotate(json=Cast(LatestValues(latest), TextField()))


def with_keys(devices: DeviceQuerySet) -> DeviceQuerySet:
    """With `json`, the keys that a device sends."""
    return devices.annotate(json=Cast(KnownKeys("state__latest"), TextField()))
