"""Readings as the API shows them, made by PostgreSQL; `telemetry/serializers.py` describes them."""

from django.db.models import F, Func, JSONField, TextField, Value
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Cast

from devices.models import DeviceQuerySet
from telemetry.models import TelemetryQuerySet

# What PostgreSQL writes by itself, as in 12:00:00.25+00:00, the service before never sent, and
# Python before 3.11 cannot read. Its sessions are in UTC.
RECORD = """json_build_object(
    'device_uid', {device_uid},
    'payload', {payload},
    'ts', to_char(ts, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
    'msg_id', msg_id
)::text"""


class OnlyKeys(Func):
    """The given keys of a JSON object, those that it has."""

    template = """(
        SELECT coalesce(jsonb_object_agg(key, value), '{}')
        FROM jsonb_each(%(expressions)s)
    )"""
    arg_joiner = ") WHERE key = ANY("
    output_field = JSONField()


class LatestValues(Func):
    """`DeviceState.latest` with names: key → value and time."""

    # Optimization: json; jsonb would be built first, and written as a text after.
    template = """(
        SELECT coalesce(json_object_agg(key, json_build_object(
            'value', value -> 0, 'ts', to_timestamp((value ->> 1)::float8 / 1000)
        )), '{}') FROM jsonb_each(%(expressions)s)
    )"""
    output_field = JSONField()


class KnownKeys(Func):
    """The keys of `DeviceState.latest`, each with the type of its value and the time."""

    template = """(
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'key', key,
            'type', jsonb_typeof(value -> 0),
            'ts', to_timestamp((value ->> 1)::float8 / 1000)
        ) ORDER BY key COLLATE "C"), '[]') FROM jsonb_each(%(expressions)s)
    )"""
    output_field = JSONField()


def record(device_uid: str, keys: str = "") -> str:
    """SQL that makes a reading as the API shows it, out of SQL for what is not in its row."""
    payload = "payload"
    if keys:
        payload = OnlyKeys.template % {"expressions": f"payload{OnlyKeys.arg_joiner}{keys}"}
    return RECORD.format(device_uid=device_uid, payload=payload)


def as_json(
    readings: TelemetryQuerySet, device_uid: str, keys: list[str] | None
) -> TelemetryQuerySet:
    """With `json`, a reading as the API shows it."""
    sql = record("%s", "%s" if keys else "")
    values = [device_uid, keys] if keys else [device_uid]
    return readings.annotate(json=RawSQL(sql, values, TextField()))


def with_latest(devices: DeviceQuerySet, keys: list[str] | None) -> DeviceQuerySet:
    """With `json`, the newest value of each key, or of those in `keys`."""
    latest: Combinable = F("state__latest")
    if keys:
        latest = OnlyKeys(latest, Value(keys))
    return devices.annotate(json=Cast(LatestValues(latest), TextField()))


def with_keys(devices: DeviceQuerySet) -> DeviceQuerySet:
    """With `json`, the keys that a device sends."""
    return devices.annotate(json=Cast(KnownKeys("state__latest"), TextField()))
