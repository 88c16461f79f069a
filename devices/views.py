"""Devices and their types over the API."""

from typing import Any

from django.contrib.admin.models import ADDITION, DELETION
from django.db import transaction
from django.db.models import ProtectedError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT
from rest_framework.viewsets import GenericViewSet

from accounts.conflicts import Conflict, conflicts
from accounts.history import record, save_and_record
from accounts.models import SLUG_PATTERN
from accounts.rest import json_array, person
from devices import listing
from devices.filters import DeviceFilters
from devices.models import (
    TAKEN,
    TYPE_TAKEN,
    BrokerChange,
    Device,
    DeviceQuerySet,
    DeviceType,
)
from devices.serializers import (
    DeviceChangeSerializer,
    DeviceSerializer,
    DeviceTypeChangeSerializer,
    DeviceTypeSerializer,
)

SHARED = "All tenants share this type: only platform staff can change it. Make one of your own."
ID = OpenApiParameter("id", int, OpenApiParameter.PATH)
IN_USE = (
    "Devices or enrolment keys are of this type. Give the devices another one and revoke the keys "
    "first."
)


class DeviceViewSet(GenericViewSet):
    """The devices that the user may see."""

    queryset = Device.objects.all()
    serializer_class = DeviceSerializer
    filterset_class = DeviceFilters
    lookup_field = "device_uid"
    lookup_value_regex = SLUG_PATTERN

    def get_queryset(self) -> DeviceQuerySet:
        return listing.all_of(person(self.request))

    def get_serializer_class(self) -> Any:
        return DeviceChangeSerializer if self.action == "partial_update" else DeviceSerializer

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        # The browsable API asks for a form of changes without saying what is there so far.
        if self.detail and kwargs == {"instance": None}:
            kwargs["instance"] = self.get_queryset().filter(**self.kwargs).first()
        return super().get_serializer(*args, **kwargs)

    @extend_schema(summary="List devices", responses=DeviceSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The devices of your tenant; for platform staff those of all tenants."""
        pages: Any = self.paginator
        if set(request.query_params) <= {"limit"}:
            pages.begin(request, listing.ORDER)
            page = pages.end(listing.first_of(person(request), pages.limit + 1))
        else:
            devices: Any = self.filter_queryset(self.get_queryset())
            page = self.paginate_queryset(devices.as_json())
        return self.get_paginated_response(json_array(page))

    @extend_schema(summary="Create a device", responses={201: DeviceSerializer})
    def create(self, request: Request) -> Response:
        """A uid that is taken, in whatever tenant, is answered with 409."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with conflicts(TAKEN):
            made = serializer.save()
            record(person(request), ADDITION, made)
        uid = made.device_uid
        address = reverse("device-detail", [uid], request=request)
        return Response(self._json(uid), HTTP_201_CREATED, headers={"Location": address})

    @extend_schema(summary="Read a device")
    def retrieve(self, request: Request, device_uid: str) -> Response:
        """Its settings, its session, and the newest value of each key."""
        return Response(self._json(device_uid))

    @extend_schema(summary="Change a device", responses=DeviceSerializer)
    def partial_update(self, request: Request, device_uid: str) -> Response:
        """What is sent changes, the rest stays. Messages of a disabled device are rejected."""
        with conflicts(TAKEN):
            # Nobody may delete it meanwhile: a deleted device cannot be enabled.
            devices = self.get_queryset().select_for_update(no_key=True)
            device = get_object_or_404(devices, device_uid=device_uid)
            was_enabled = device.is_enabled
            change = self.get_serializer(device, data=request.data, partial=True)
            change.is_valid(raise_exception=True)
            save_and_record(person(request), change)
            # Otherwise nothing is new to the broker, and a session would end for it.
            if device.is_enabled != was_enabled:
                BrokerChange.objects.note([device.pk], with_gateways=True)
        return Response(self._json(device_uid))

    @extend_schema(summary="Delete a device", responses={204: None})
    def destroy(self, request: Request, device_uid: str) -> Response:
        """It is gone at once and its messages are rejected; its readings are erased within a day.

        Until then its uid cannot be used again.
        """
        with transaction.atomic():
            # Nobody else may delete it meanwhile, and be in its history as well.
            devices = self.get_queryset().select_for_update(no_key=True)
            device = get_object_or_404(devices, device_uid=device_uid)
            record(person(request), DELETION, device)
            Device.objects.filter(pk=device.pk).retire()
        return Response(status=HTTP_204_NO_CONTENT)

    def _json(self, device_uid: str) -> bytes:
        devices: Any = self.get_queryset().as_json()
        found: str = get_object_or_404(
            devices.values_list("json", flat=True), device_uid=device_uid
        )
        return found.encode()


class DeviceTypeViewSet(GenericViewSet):
    """What devices of one make have in common."""

    queryset = DeviceType.objects.all()
    serializer_class = DeviceTypeSerializer
    lookup_field = "id"
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> Any:
        types = DeviceType.objects.visible_to(person(self.request))
        return types.select_related("tenant").order_by("name", "id")

    def get_serializer_class(self) -> Any:
        changes = self.action == "partial_update"
        return DeviceTypeChangeSerializer if changes else DeviceTypeSerializer

    @extend_schema(summary="List device types")
    def list(self, request: Request) -> Response:
        """The types of your tenant and those that all tenants share (`tenant` is null)."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Create a device type", responses={201: DeviceTypeSerializer})
    def create(self, request: Request) -> Response:
        """A name that the tenant's own types or the shared ones have is answered with 409."""
        serializer = self.get_serializer(data=request.data)
        with conflicts(TYPE_TAKEN):
            serializer.is_valid(raise_exception=True)
            made = serializer.save()
            record(person(request), ADDITION, made)
        address = reverse("device-type-detail", [made.pk], request=request)
        return Response(serializer.data, HTTP_201_CREATED, headers={"Location": address})

    @extend_schema(summary="Read a device type", parameters=[ID])
    def retrieve(self, request: Request, id: str) -> Response:
        """When its devices count as silent, how long readings are kept, what keys mean."""
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), id=id)).data)

    @extend_schema(summary="Change a device type", parameters=[ID], responses=DeviceTypeSerializer)
    def partial_update(self, request: Request, id: str) -> Response:
        """What is sent changes, the rest stays.

        With fewer `retention_days` older readings of all its devices are erased within a day.
        """
        with conflicts(TYPE_TAKEN):
            found = self._changeable(id)
            change = self.get_serializer(found, data=request.data, partial=True)
            change.is_valid(raise_exception=True)
            save_and_record(person(request), change)
        return Response(DeviceTypeSerializer(found).data)

    @extend_schema(summary="Delete a device type", parameters=[ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """While there are devices of this type, or enrolment keys that are not revoked: 409."""
        try:
            with conflicts(IN_USE):
                found = self._changeable(id)
                record(person(request), DELETION, found)
                found.delete()
        except ProtectedError as error:
            raise Conflict(IN_USE) from error
        return Response(status=HTTP_204_NO_CONTENT)

    def _changeable(self, id: str) -> DeviceType:
        found: DeviceType = get_object_or_404(self.get_queryset(), id=id)
        if found.is_shared and not person(self.request).is_superuser:
            raise PermissionDenied(SHARED)
        return found
