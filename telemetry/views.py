"""Readings over the API."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest import json_array, person
from devices.models import Device
from telemetry.history import History, Place
from telemetry.models import Telemetry
from telemetry.serializers import ORDERS, ReadingSerializer, ReadingsQuery

NO_DEVICE = "There is no such device, or you may not see it."


class ReadingsView(GenericAPIView):
    """The readings of one device, the newest first."""

    queryset = Telemetry.objects.all()
    serializer_class = ReadingSerializer
    filter_backends = []
    page_limit = 100

    @extend_schema(parameters=[ReadingsQuery], responses=ReadingSerializer(many=True))
    def get(self, request: Request, device_uid: str) -> Response:
        query = ReadingsQuery.read(request, ignore=("limit", "cursor"))
        history = History(
            user=person(request),
            device_uid=device_uid,
            start=query.get("from"),
            end=query.get("to"),
            keys=query.get("keys"),
        )
        pages: Any = self.paginator
        pages.begin(request, ORDERS[query["order"]], self.page_limit)
        read = history.newest if pages.direction == ORDERS["desc"] else history.oldest
        try:
            page = pages.end(read(pages.limit + 1, place(pages.cursor)))
        except Device.DoesNotExist as error:
            raise NotFound(NO_DEVICE) from error
        return self.get_paginated_response(json_array(page))


def place(cursor: Any) -> Place | None:
    """Where the page before ended, if there was one."""
    if not cursor:
        return None
    ts, number = cursor.values
    return Place(datetime.fromisoformat(ts), number)
