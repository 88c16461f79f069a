"""Devices over the API."""

from typing import Any

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.models import SLUG_PATTERN
from accounts.rest import json_array, person
from devices.models import Device, DeviceQuerySet
from devices.serializers import DeviceSerializer


class DeviceFilters(filters.FilterSet):
    class Meta:
        model = Device
        fields = ["is_enabled"]


class DeviceViewSet(GenericViewSet):
    """The devices that the user may see."""

    queryset = Device.objects.all()
    serializer_class = DeviceSerializer
    filterset_class = DeviceFilters
    lookup_field = "device_uid"
    lookup_value_regex = SLUG_PATTERN

    def get_queryset(self) -> DeviceQuerySet:
        return Device.objects.visible_to(person(self.request)).order_by("device_uid")

    def list(self, request: Request) -> Response:
        devices: Any = self.filter_queryset(self.get_queryset())
        page = self.paginate_queryset(devices.as_json())
        return self.get_paginated_response(json_array(page))

    def retrieve(self, request: Request, device_uid: str) -> Response:
        device: Any = get_object_or_404(self.get_queryset().as_json(), device_uid=device_uid)
        return Response(device.json.encode())
