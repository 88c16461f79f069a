"""Devices over the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from psycopg.errors import UniqueViolation
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT, HTTP_409_CONFLICT
from rest_framework.viewsets import GenericViewSet

from accounts.models import SLUG_PATTERN
from accounts.rest import json_array, person
from devices.models import TAKEN, Device, DeviceQuerySet
from devices.serializers import DeviceChangeSerializer, DeviceSerializer


class Conflict(APIException):
    status_code = HTTP_409_CONFLICT
    default_code = "conflict"


@contextmanager
def conflicts(taken: str) -> Iterator[None]:
    """One transaction; what the database cannot agree to is a conflict with somebody else's work.

    `taken` says what to do where something unique exists already.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        is_taken = isinstance(error.__cause__, UniqueViolation)
        raise Conflict(taken if is_taken else "Somebody was quicker. Look again.") from error


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

    def get_serializer_class(self) -> Any:
        return DeviceChangeSerializer if self.action == "partial_update" else DeviceSerializer

    def list(self, request: Request) -> Response:
        devices: Any = self.filter_queryset(self.get_queryset())
        page = self.paginate_queryset(devices.as_json())
        return self.get_paginated_response(json_array(page))

    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with conflicts(TAKEN):
            uid = serializer.save().device_uid
        address = reverse("device-detail", [uid], request=request)
        return Response(self._json(uid), HTTP_201_CREATED, headers={"Location": address})

    def retrieve(self, request: Request, device_uid: str) -> Response:
        return Response(self._json(device_uid))

    def partial_update(self, request: Request, device_uid: str) -> Response:
        with conflicts(TAKEN):
            # Nobody may delete it meanwhile: a deleted device cannot be enabled.
            devices = self.get_queryset().select_for_update(no_key=True)
            device = get_object_or_404(devices, device_uid=device_uid)
            serializer = self.get_serializer(device, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            serializer.save()
        return Response(self._json(device_uid))

    def destroy(self, request: Request, device_uid: str) -> Response:
        if not self.get_queryset().filter(device_uid=device_uid).retire():
            get_object_or_404(Device.objects.none())
        return Response(status=HTTP_204_NO_CONTENT)

    def _json(self, device_uid: str) -> bytes:
        devices: Any = self.get_queryset().as_json()
        found: str = get_object_or_404(
            devices.values_list("json", flat=True), device_uid=device_uid
        )
        return found.encode()
