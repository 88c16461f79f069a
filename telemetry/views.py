"""Readings over the API."""

from django.db.models import Func, JSONField, Value
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest import JSONRow, json_array, person
from devices.models import Device
from telemetry.models import Telemetry, TelemetryQuerySet
from telemetry.serializers import ReadingSerializer, ReadingsQuery


class OnlyKeys(Func):
    """The given keys of a JSON object, those that it has."""

    template = """(
        SELECT coalesce(jsonb_object_agg(key, value), '{}')
        FROM jsonb_each(%(expressions)s)
    )"""
    arg_joiner = ") WHERE key = ANY("
    output_field = JSONField()


class ReadingsView(GenericAPIView):
    """The readings of one device, the newest first."""

    queryset = Telemetry.objects.all()
    serializer_class = ReadingSerializer
    filter_backends = []
    page_limit = 100

    @extend_schema(parameters=[ReadingsQuery])
    def get(self, request: Request, device_uid: str) -> Response:
        query = ReadingsQuery.read(request, ignore=("limit", "cursor"))
        devices = Device.objects.visible_to(person(request)).only("device_uid")
        device = get_object_or_404(devices, device_uid=device_uid)
        readings = Telemetry.objects.of(device).between(query.get("from"), query.get("to"))
        readings = readings.newest() if query["order"] == "desc" else readings.oldest()
        page = self.paginate_queryset(as_json(readings, device.device_uid, query.get("keys")))
        return self.get_paginated_response(json_array(page))


def as_json(
    readings: TelemetryQuerySet, device_uid: str, keys: list[str] | None
) -> TelemetryQuerySet:
    """With `json`, a reading as the API shows it."""
    payload = OnlyKeys("payload", Value(keys)) if keys else "payload"
    return readings.annotate(
        json=JSONRow(device_uid=Value(device_uid), payload=payload, ts="ts", msg_id="msg_id")
    )
