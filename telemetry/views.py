"""Readings over the API."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

import orjson
from django.db import transaction
from django.http import StreamingHttpResponse
from django.utils.translation import gettext_noop
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_200_OK, HTTP_201_CREATED
from rest_framework.viewsets import GenericViewSet

from accounts.conflicts import Conflict
from accounts.files import file
from accounts.history import note
from accounts.rest import (
    ByRole,
    FileNegotiation,
    QueryParameters,
    json_array,
    nothing_in,
    person,
)
from accounts.words import sentence
from devices.credentials.authenticating import Account
from devices.models import Device
from telemetry import examples, export
from telemetry.decode import MAX_READINGS
from telemetry.door import DeviceAuthentication, FromDevice, body_of, take
from telemetry.history import History, Place
from telemetry.models import RejectedMessage, RejectedMessageQuerySet, Telemetry
from telemetry.replay import replay
from telemetry.representation import as_json, with_keys, with_latest
from telemetry.serializers import (
    ORDERS,
    ExportQuery,
    KeySerializer,
    LatestQuery,
    ReadingSerializer,
    ReadingsQuery,
    RejectedQuery,
    RejectedSerializer,
    RejectedWholeSerializer,
    ReplayedSerializer,
    SeriesQuery,
    SeriesSerializer,
    TakenSerializer,
)
from telemetry.series import series

WAS_REPLAYED = sentence(gettext_noop("Replayed: {outcome}."))
DEALT_WITH = sentence(gettext_noop("Marked as dealt with."))
NO_DEVICE = "There is no such device, or you may not see it."
CSV = "text/csv"
NDJSON = "application/x-ndjson"
ID = OpenApiParameter("id", UUID, OpenApiParameter.PATH)
VALUE = {
    "value": {"description": "As the device sent it; null too."},
    "ts": {"type": "string", "format": "date-time", "description": "When it was measured."},
}
LATEST = {
    "type": "object",
    "additionalProperties": {"type": "object", "properties": VALUE, "required": list(VALUE)},
}
OF_DEVICE = {
    "type": "object",
    "properties": {
        "msg_id": {
            "type": ["string", "integer"],
            "description": "Names the message, so that one that comes again is one reading.",
        },
        "ts": {
            "type": ["number", "string"],
            "description": "When it was measured: seconds or milliseconds since 1970, or ISO 8601. "
            "Left out: when it came.",
        },
    },
    "additionalProperties": True,
}
MESSAGE = {"anyOf": [OF_DEVICE, {"type": "array", "items": OF_DEVICE, "maxItems": MAX_READINGS}]}


class ReadingsView(GenericAPIView):
    """The readings of one device: people read them, and the device sends them."""

    queryset = Telemetry.objects.all()
    serializer_class = ReadingSerializer
    filter_backends = []
    page_limit = 100

    @property
    def is_at_door(self) -> bool:
        """Whether somebody sends readings: people never do, and devices nothing else."""
        request = getattr(self, "request", None)
        return bool(request and request.method == "POST")

    def get_authenticators(self) -> Any:
        return [DeviceAuthentication()] if self.is_at_door else super().get_authenticators()

    def get_permissions(self) -> Any:
        return [FromDevice()] if self.is_at_door else super().get_permissions()

    def get_content_negotiator(self) -> Any:
        return FileNegotiation() if self.is_at_door else super().get_content_negotiator()

    @extend_schema(
        summary="List readings",
        description="The newest first, unless `order` says otherwise. Where readings are large, a "
        "page of more than 100 may hold fewer than `limit`: go on while there is a `next`.",
        parameters=[ReadingsQuery],
        responses=ReadingSerializer(many=True),
    )
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
            page = read(pages.limit + 1, place(pages.cursor))
        except Device.DoesNotExist as error:
            raise NotFound(NO_DEVICE) from error
        rows = pages.end(page.rows, is_cut=page.is_cut)
        return self.get_paginated_response(json_array(rows))

    @extend_schema(
        operation_id="telemetry_send",
        summary="Send readings",
        request={"application/json": MESSAGE},
        responses={201: TakenSerializer, 200: TakenSerializer},
        examples=[
            OpenApiExample("One", examples.SENT, request_only=True),
            OpenApiExample("Several", examples.SENT_MANY, request_only=True),
            OpenApiExample("Of three, one again", examples.TAKEN, response_only=True),
        ],
    )
    def post(self, request: Request, device_uid: str) -> Response:
        """From a device, with its own token: the body is what it would publish over MQTT.

        What the body says of its type does not matter. The answer comes after the commit: 201 if
        anything was stored, 200 if all of it was known before by its `msg_id`. A message that can
        never be stored is kept with its reason, which is the `code` of a 422: do not send it again.
        After 503, or no answer, send the same again. 401 if the token is not of this device, nor of
        a gateway for it (by HTTP Basic, with the gateway's uid), or it is disabled; 411 without
        Content-Length; 413 for more than four times `MAX_PAYLOAD`; 415 if it is compressed.
        """
        QueryParameters.read(request)
        tally = take(cast(Account, request.auth), device_uid, body_of(request))
        return Response(tally._asdict(), HTTP_201_CREATED if tally.stored else HTTP_200_OK)


def place(cursor: Any) -> Place | None:
    """Where the page before ended, if there was one."""
    if not cursor:
        return None
    ts, number = cursor.values
    return Place(datetime.fromisoformat(ts), number)


class OneAnswerView(GenericAPIView):
    """About the readings of one device, and no list."""

    queryset = Telemetry.objects.all()
    filter_backends = []
    pagination_class = None


class LatestView(OneAnswerView):
    @extend_schema(
        operation_id="telemetry_latest",
        summary="The newest value of each key",
        parameters=[LatestQuery],
        responses={200: LATEST},
        examples=[OpenApiExample("Two keys", examples.LATEST, response_only=True)],
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """Each key moves by the times of its own readings: one that came late changes nothing."""
        keys = LatestQuery.read(request).get("keys")
        devices = Device.objects.visible_to(person(request))
        return Response(json_of(with_latest(devices, keys), device_uid))


class KeysView(OneAnswerView):
    @extend_schema(
        operation_id="telemetry_keys",
        summary="The keys that a device sends",
        responses=KeySerializer(many=True),
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """In alphabetical order, with type and time of the newest value.

        A device that sends more than 256 KiB of different keys starts over with those of its newest
        reading. One with a comma cannot be named in the parameter `keys` of other operations.
        """
        QueryParameters.read(request)
        devices = Device.objects.visible_to(person(request))
        return Response(json_of(with_keys(devices), device_uid))


class SeriesView(OneAnswerView):
    @extend_schema(
        operation_id="telemetry_series",
        summary="Numbers over time",
        parameters=[SeriesQuery],
        responses=SeriesSerializer,
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """Aggregates of the readings in steps of equal length, for a chart.

        Every step is listed; where nothing was read it has null, and a count of 0. True and false
        count as 1 and 0, values that are no numbers are left out. The first and the last step are
        cut by `from` and `to`, by default the last 24 hours. At most 10,000 points, which are steps
        times keys.
        """
        query = SeriesQuery.read(request)
        device = device_of(request, device_uid)
        made = series(device, query["keys"], query["steps"], query["agg"])
        # Sums are Decimals.
        return Response(orjson.dumps(made, default=float))


class ExportView(OneAnswerView):
    content_negotiation_class = FileNegotiation

    @extend_schema(
        operation_id="telemetry_export",
        summary="History as a file",
        parameters=[ExportQuery],
        responses={(200, CSV): OpenApiTypes.STR, (200, NDJSON): OpenApiTypes.STR},
        examples=[
            OpenApiExample("CSV", examples.CSV, media_type=CSV, response_only=True),
            OpenApiExample("NDJSON", examples.NDJSON, media_type=NDJSON, response_only=True),
        ],
    )
    def get(self, request: Request, device_uid: str) -> StreamingHttpResponse:
        """All readings of the time range, oldest first, sent while they are read.

        CSV has the columns `ts`, `msg_id` and one for each key: of `keys`, or else of those that
        `/keys` lists now, which are not always all that are in old readings. What a spreadsheet
        could take for a formula has an apostrophe before it. NDJSON has a line for each reading,
        the same record as the list of readings. A file that cannot be finished ends in a broken
        connection; over HTTP/1.0, where that cannot be told, there is none (505).
        """
        query = ExportQuery.read(request)
        device = device_of(request, device_uid)
        readings = Telemetry.objects.of(device).between(query.get("from"), query.get("to"))
        if query["as"] == "csv":
            keys = query.get("keys") or keys_of(request, device_uid)
            return file(
                request, export.as_csv(readings, keys), f"{device_uid}.csv", f"{CSV}; charset=utf-8"
            )
        lines = export.as_ndjson(as_json(readings, device.device_uid, query.get("keys")))
        return file(request, lines, f"{device_uid}.ndjson", f"{NDJSON}; charset=utf-8")


def device_of(request: Request, device_uid: str) -> Device:
    """The device, if whoever asks may see it."""
    device: Device = only(Device.objects.visible_to(person(request)), device_uid)
    return device


def json_of(devices: Any, device_uid: str) -> bytes:
    """The annotation `json` of one of `devices`."""
    text: str = only(devices.values_list("json", flat=True), device_uid)
    return text.encode()


def only(devices: Any, device_uid: str) -> Any:
    try:
        return devices.get(device_uid=device_uid)
    except Device.DoesNotExist as error:
        raise NotFound(NO_DEVICE) from error


def keys_of(request: Request, device_uid: str) -> list[str]:
    devices = with_keys(Device.objects.visible_to(person(request)))
    return [each["key"] for each in orjson.loads(json_of(devices, device_uid))]


class MayDeal(ByRole):
    """To replay and to resolve is to change a rejected message."""

    perms_map = ByRole.perms_map | {"POST": ByRole.perms_map["PATCH"]}


class RejectedViewSet(GenericViewSet):
    """Messages that could not be stored."""

    queryset = RejectedMessage.objects.all()
    permission_classes = [MayDeal]
    serializer_class = RejectedSerializer
    filter_backends = []
    page_limit = 100
    lookup_value_regex = "[0-9a-fA-F-]{36}"

    def get_queryset(self) -> RejectedMessageQuerySet:
        rejected = RejectedMessage.objects.visible_to(person(self.request))
        return rejected.select_related("tenant")

    @extend_schema(
        summary="List rejected messages",
        parameters=[RejectedQuery],
        responses=RejectedSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Newest first, without their payloads."""
        query = RejectedQuery.read(request, ignore=("limit", "cursor"))
        page = self.paginate_queryset(matching(self.get_queryset().defer("payload"), query))
        return self.get_paginated_response(RejectedSerializer(page, many=True).data)

    @extend_schema(
        summary="Read a rejected message", parameters=[ID], responses=RejectedWholeSerializer
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        """As it came, with its payload."""
        QueryParameters.read(request)
        return Response(RejectedWholeSerializer(self.get_object()).data)

    @extend_schema(
        operation_id="rejected_replay",
        summary="Replay a rejected message",
        parameters=[ID],
        request=None,
        responses=ReplayedSerializer,
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Sends it through the same door again, once whatever was wrong with it is mended.

        `stored` and `duplicate` (it was stored before) resolve it; `rejected` leaves it open, with
        the reason that holds now. 409 if it is resolved already.
        """
        nothing_in(request)
        rejected = self.get_object()
        outcome = replay(rejected)
        if outcome is None:
            raise Conflict("It is dealt with already. There is nothing to replay.")
        note(person(request), rejected, WAS_REPLAYED.format(outcome=outcome))
        return Response({"outcome": outcome, **RejectedSerializer(rejected).data})

    @extend_schema(
        operation_id="rejected_resolve",
        summary="Mark a rejected message as dealt with",
        parameters=[ID],
        request=None,
        responses=RejectedSerializer,
    )
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """It leaves the list of open ones and is not stored. Doing it twice changes nothing."""
        nothing_in(request)
        rejected = self.get_object()
        with transaction.atomic():
            if self.get_queryset().filter(pk=rejected.pk).resolve():
                note(person(request), rejected, DEALT_WITH)
        return Response(RejectedSerializer(self.get_object()).data)


def matching(rejected: RejectedMessageQuerySet, query: dict[str, Any]) -> RejectedMessageQuerySet:
    lookups = {"from": "received_at__gte", "to": "received_at__lt"}
    lookups |= {name: name for name in ("device_uid", "reason")}
    if "state" in query:
        rejected = rejected.open() if query["state"] == "open" else rejected.resolved()
    return rejected.filter(**{lookups[name]: query[name] for name in lookups if name in query})
