"""Live streams over the API: server-sent events, until the client or its right to them goes."""

from collections.abc import Callable, Collection

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.serializers import Field
from rest_framework.status import HTTP_429_TOO_MANY_REQUESTS, HTTP_503_SERVICE_UNAVAILABLE

from accounts.models import User, validate_slug
from accounts.rest import FileNegotiation, QueryParameters, person
from devices.models import Command, Device
from telemetry import examples
from telemetry.live.client import Client
from telemetry.live.hub import Full, ShareTaken, hub
from telemetry.live.rights import Rights
from telemetry.live.ring import Kind, Subject
from telemetry.live.stream import Following, Stream, scope_of
from telemetry.models import Telemetry

EVENTS = "text/event-stream"
HEADERS = {
    "Cache-Control": "no-cache",
    # GZipMiddleware and nginx would each wait for more before they pass anything on.
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",
}
MOST_DEVICES = 100
NO_DEVICE = "There is no device {uid}, or you may not see it."
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The id of the last event that came, to go on after it. Browsers send it.",
)


class TooManyStreams(APIException):
    status_code = HTTP_503_SERVICE_UNAVAILABLE
    default_code = "too_many_streams"
    default_detail = "This server has as many live streams open as it may. Try again in a moment."
    wait = 10


class TooManyOfYours(APIException):
    status_code = HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_of_yours"
    wait = 10


@extend_schema_field({"type": "string"})
class Uids(Field):
    """Uids of devices, separated by commas: a list of 1 to MOST_DEVICES of them."""

    def to_internal_value(self, value: str) -> list[str]:
        uids = list(dict.fromkeys(value.split(",")))
        if len(uids) > MOST_DEVICES:
            raise ValidationError(f"Give at most {MOST_DEVICES} devices.")
        for uid in uids:
            validate_slug(uid)
        return uids

    def to_representation(self, value: list[str]) -> str:
        return ",".join(value)


class DevicesQuery(QueryParameters):
    devices = Uids(help_text=f"1 to {MOST_DEVICES} uids, separated by commas.")


class CommandsQuery(QueryParameters):
    devices = Uids(
        required=False,
        help_text=f"Only those of these devices: 1 to {MOST_DEVICES} uids, separated by commas.",
    )


class LiveView(GenericAPIView):
    """What is new, as it comes."""

    filter_backends = []
    pagination_class = None
    content_negotiation_class = FileNegotiation

    follow: Callable[[Request], Following]
    """What a request asks to follow, if whoever asks may see it now."""

    def stream(self, request: Request) -> StreamingHttpResponse:
        """Also over HTTP/1.0: what has no end cannot look complete when it is cut off."""
        rights = Rights(self, request, self.follow)
        if request.method == "HEAD":
            return StreamingHttpResponse((), content_type=EVENTS, headers=HEADERS)
        client = Client(request.META.get("gunicorn.socket"))
        stream = Stream(rights.following, rights.lost, client.has_gone, hub.leave)
        try:
            hub.join(stream, request.headers.get("Last-Event-ID", ""))
        except Full as error:
            raise TooManyStreams from error
        except ShareTaken as error:
            raise TooManyOfYours(str(error)) from error
        return StreamingHttpResponse(stream, content_type=EVENTS, headers=HEADERS)


class LiveTelemetryView(LiveView):
    queryset = Telemetry.objects.all()

    def follow(self, request: Request) -> Following:
        uids = DevicesQuery.read(request)["devices"]
        devices = devices_of(person(request), uids)
        subjects = frozenset(Subject(Kind.DEVICE, each) for each in devices)
        return Following(subjects, person(request).pk, scope_of(person(request)))

    @extend_schema(
        operation_id="live_telemetry",
        tags=["live"],
        summary="Readings of devices as they come",
        parameters=[DevicesQuery, LAST_EVENT_ID],
        responses={(200, EVENTS): OpenApiTypes.STR},
        examples=[
            OpenApiExample(
                "A reading", examples.LIVE_TELEMETRY, media_type=EVENTS, response_only=True
            )
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Server-sent events. The first is `ready`: from there on nothing is missed.

        `telemetry` comes whenever a device was heard: when that was, its session, and its new
        readings, the oldest first, as GET /telemetry/{device_uid} shows them. `reset` means that
        something was missed or would have been too much: load anew. `closed` is the last one, when
        the right to it has ended: the token ran out, the user was switched off, a device is gone.
        Whoever comes back within five minutes with the id of the last event goes on after it. 503
        while as many streams are open as this server may have, 429 while a quarter of these are
        yours, or half of them your tenant's.
        """
        return self.stream(request)


class LiveCommandsView(LiveView):
    queryset = Command.objects.all()

    def follow(self, request: Request) -> Following:
        uids = CommandsQuery.read(request).get("devices")
        scope = scope_of(person(request))
        if uids:
            devices = devices_of(person(request), uids)
            subjects = [Subject(Kind.COMMANDS_OF_DEVICE, each) for each in devices]
        elif scope is None:
            subjects = [Subject(Kind.ALL_COMMANDS, 0)]
        else:
            subjects = [Subject(Kind.COMMANDS_OF_TENANT, scope)]
        return Following(frozenset(subjects), person(request).pk, scope)

    @extend_schema(
        operation_id="live_commands",
        tags=["live"],
        summary="Commands as they are sent and answered",
        parameters=[CommandsQuery, LAST_EVENT_ID],
        responses={(200, EVENTS): OpenApiTypes.STR},
        examples=[
            OpenApiExample(
                "A command", examples.LIVE_COMMAND, media_type=EVENTS, response_only=True
            )
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Server-sent events, as those of /live/telemetry; in place of `telemetry` there is
        `command`.

        It comes whenever a command took a step, with the command as GET /commands/{id} shows it.
        Without `devices` it is about all that you may see.
        """
        return self.stream(request)


def devices_of(user: User, uids: Collection[str]) -> list[int]:
    """The ids of those devices, each of which `user` has to see."""
    visible = Device.objects.visible_to(user).filter(device_uid__in=uids)
    found = dict(visible.values_list("device_uid", "pk"))
    for uid in uids:
        if uid not in found:
            raise NotFound(NO_DEVICE.format(uid=uid))
    return sorted(found.values())
