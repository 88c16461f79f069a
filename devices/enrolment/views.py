"""Enrolment over the API: keys for people to make, and the door at which devices show them."""

from typing import Any

from django.conf import settings
from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT
from rest_framework.viewsets import GenericViewSet

from accounts.addresses import address_of
from accounts.history import save_and_record
from accounts.rest import ByRole, QueryParameters, nothing_in, person
from accounts.views import Door
from devices.enrolment.enrolling import enrol
from devices.enrolment.keys import make, revoke
from devices.enrolment.serializers import (
    EnrolledSerializer,
    EnrolmentKeyChangeSerializer,
    EnrolmentKeyMadeSerializer,
    EnrolmentKeySerializer,
    EnrolmentSerializer,
    EnrolSerializer,
    NewEnrolmentKeySerializer,
)
from devices.models import Device, Enrolment, EnrolmentKey

OFF = "Devices do not enrol here. An operator can register this one, or set ENROLMENT=1."
ID = OpenApiParameter("id", int, OpenApiParameter.PATH)
PAGE = 100
NOT_KEPT = {"Cache-Control": "no-store"}
"""For answers with a secret: for nobody to keep but who asked."""


class MayRevoke(ByRole):
    """To revoke is to change what is there; nothing is deleted."""

    perms_map = ByRole.perms_map | {"DELETE": ByRole.perms_map["PATCH"]}


class EnrolView(Door):
    serializer_class = EnrolSerializer

    @extend_schema(
        operation_id="devices_enroll",
        tags=["enrolment"],
        summary="Enrol a device",
        responses={201: EnrolledSerializer, 200: EnrolledSerializer},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """For a device with a key in its firmware: what it may connect to the broker with.

        201 for a device that is new to the key, or was registered and never had a credential. 200
        if it enrolled with this key before: it stays the same device, and the token that it had
        ends at once. 401 for a key that is good for nothing, 403 for a device that was shut out or
        if enrolment is off, 409 for a key that is used up or a uid that is taken, 429 after too
        many failures or with too many at once, with `Retry-After`.
        """
        if not settings.ENROLMENT:
            raise PermissionDenied(OFF, "enrolment_off")
        QueryParameters.read(request)
        given = self.valid(request)
        enrolled = enrol(given["key"], given["device_uid"], address_of(request._request))
        status = HTTP_201_CREATED if enrolled.is_new else HTTP_200_OK
        return Response(EnrolledSerializer(enrolled).data, status, headers=NOT_KEPT)


class KeyViewSet(GenericViewSet):
    """The enrolment keys that the user may see."""

    queryset = EnrolmentKey.objects.all()
    serializer_class = EnrolmentKeySerializer
    permission_classes = [MayRevoke]
    lookup_field = "id"
    lookup_value_regex = "[0-9]{1,18}"
    page_limit = PAGE

    def get_queryset(self) -> Any:
        keys = EnrolmentKey.objects.visible_to(person(self.request))
        return keys.select_related("tenant", "type", "created_by").order_by("-id")

    def get_serializer_class(self) -> Any:
        kinds = {
            "create": NewEnrolmentKeySerializer,
            "partial_update": EnrolmentKeyChangeSerializer,
        }
        return kinds.get(self.action, EnrolmentKeySerializer)

    @extend_schema(
        operation_id="enrolment_keys_list", tags=["enrolment"], summary="List enrolment keys"
    )
    def list(self, request: Request) -> Response:
        """The newest first: whether each is good for something, and how many devices came."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="enrolment_keys_create",
        tags=["enrolment"],
        summary="Make an enrolment key",
        responses={201: EnrolmentKeyMadeSerializer},
    )
    def create(self, request: Request) -> Response:
        """`key` is in this answer and nowhere else: keep it now, or make another one."""
        QueryParameters.read(request)
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = make(person(request), **asked.validated_data)
        address = reverse("enrolment-key-detail", [made.key.pk], request=request)
        shown = EnrolmentKeyMadeSerializer(made, context=self.get_serializer_context()).data
        return Response(shown, HTTP_201_CREATED, headers={"Location": address, **NOT_KEPT})

    @extend_schema(
        operation_id="enrolment_keys_retrieve",
        tags=["enrolment"],
        summary="Read an enrolment key",
        parameters=[ID],
    )
    def retrieve(self, request: Request, id: str) -> Response:
        """All but the key itself."""
        QueryParameters.read(request)
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), id=id)).data)

    @extend_schema(
        operation_id="enrolment_keys_partial_update",
        tags=["enrolment"],
        summary="Change an enrolment key",
        parameters=[ID],
        responses=EnrolmentKeySerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """What is sent changes, the rest stays: its name, its quota and when it expires.

        Of a revoked key only the name; 409 for the rest.
        """
        QueryParameters.read(request)
        with transaction.atomic():
            # Devices enrol meanwhile: the quota is never below how many have.
            keys = self.get_queryset().select_for_update(of=["self"], no_key=True)
            key = get_object_or_404(keys, id=id)
            change = self.get_serializer(key, data=request.data, partial=True)
            change.is_valid(raise_exception=True)
            save_and_record(person(request), change)
        return Response(EnrolmentKeySerializer(key, context=self.get_serializer_context()).data)

    @extend_schema(
        operation_id="enrolment_keys_revoke",
        tags=["enrolment"],
        summary="Revoke an enrolment key",
        parameters=[ID],
        responses={204: None},
    )
    def destroy(self, request: Request, id: str) -> Response:
        """No device enrols with it any more, and it stays in the list. Doing it twice changes
        nothing.

        Devices that enrolled with it keep their credentials.
        """
        nothing_in(request)
        revoke(get_object_or_404(self.get_queryset(), id=id), person(request))
        return Response(status=HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="enrolment_keys_devices",
        tags=["enrolment"],
        summary="List the devices of an enrolment key",
        parameters=[ID],
        responses=EnrolmentSerializer(many=True),
    )
    @action(detail=True)
    def devices(self, request: Request, id: str) -> Response:
        """Those that enrolled with it and are not deleted, the newest first."""
        key = get_object_or_404(self.get_queryset(), id=id)
        devices = Device.objects.visible_to(person(request))
        enrolments = Enrolment.objects.filter(key=key, device__in=devices).select_related("device")
        page = self.paginate_queryset(
            self.filter_queryset(enrolments.order_by("-first_at", "-device_id"))
        )
        return self.get_paginated_response(EnrolmentSerializer(page, many=True).data)
