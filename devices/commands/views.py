"""Commands over the API: sent, followed, and taken back."""

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.status import HTTP_202_ACCEPTED
from rest_framework.viewsets import GenericViewSet

from accounts.conflicts import Conflict
from accounts.history import record
from accounts.rest import (
    ByRole,
    QueryParameters,
    StrictFields,
    json_array,
    nothing_in,
    person,
)
from devices.commands.cancelling import why_not
from devices.commands.filters import BatchFilters, CommandFilters, DeviceCommandFilters
from devices.commands.noting import note_sent
from devices.commands.recorded import cancel_and_log, cancel_batch_and_log
from devices.commands.representation import (
    BATCH,
    BATCH_WHOLE,
    COMMAND,
    COMMAND_SENT,
    COMMAND_WHOLE,
    progress_of,
    with_progress,
)
from devices.commands.sending import Sent, rehearse, send, send_to_many
from devices.commands.serializers import (
    BatchSerializer,
    BatchWholeSerializer,
    CommandSentSerializer,
    CommandSerializer,
    CommandWholeSerializer,
    OrderSerializer,
    OrderToManySerializer,
    RehearsedSerializer,
    SendQuery,
)
from devices.commands.targets import devices_of
from devices.models import (
    Command,
    CommandBatch,
    CommandBatchQuerySet,
    CommandQuerySet,
    CommandStatus,
    Device,
)

UUID_PATTERN = "[0-9a-fA-F-]{36}"
PAGE = 100
PAGE_OF_BATCHES = 20
"""Fewer, since the commands of all of them are counted."""
KEY = "Idempotency-Key"
KEY_PATTERN = "[!-+.-~-]{1,255}"
"""Without a comma, by which two headers of one name come as one."""
BAD_KEY = "Give one key, of 1 to 255 visible characters of ASCII and no comma, such as a UUID."

ID = OpenApiParameter("id", UUID, OpenApiParameter.PATH)
KEY_HEADERS = [
    OpenApiParameter(
        KEY,
        {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
        OpenApiParameter.HEADER,
        description="Any text of your own. A request that comes again with the same one is not "
        "carried out again, so it can be repeated until there is an answer.",
    ),
    OpenApiParameter(
        "Idempotency-Replayed",
        {"type": "string", "enum": ["true"]},
        OpenApiParameter.HEADER,
        response=[202],
        description="An earlier request with the same key was accepted: this is what it made.",
    ),
]


class MayCancel(ByRole):
    """To cancel is to change what is there."""

    perms_map = ByRole.perms_map | {"POST": ByRole.perms_map["PATCH"]}


class SendView(GenericAPIView):
    """Send a command to a device."""

    queryset = Command.objects.all()
    serializer_class = OrderSerializer
    filter_backends = []
    pagination_class = None

    @extend_schema(
        operation_id="commands_send",
        tags=["commands"],
        summary="Send a command to a device",
        parameters=KEY_HEADERS,
        responses={202: CommandSentSerializer},
    )
    def post(self, request: Request, device_uid: str) -> Response:
        """It is kept, and published when the device is there, until it expires.

        Commands reach a device in the order in which they were accepted. 409 for a disabled device
        or a full queue, 429 where the tenant sends too many a minute, 422 for a key that was used
        for something else.
        """
        QueryParameters.read(request)
        key, me = key_of(request), person(request)
        device = get_object_or_404(Device.objects.visible_to(me), device_uid=device_uid)
        asked = valid(self.get_serializer(data=request.data))
        sent = send(asked.order, device, me, key)
        if sent.is_new:
            note_sent(me, sent.what)
        made = Command.objects.filter(pk=sent.what.pk).annotate(json=COMMAND_SENT)
        json = made.values_list("json", flat=True).get()
        return accepted(request, sent, "command-detail", json.encode())


class DeviceCommandsView(GenericAPIView):
    """The commands of one device, the newest first."""

    queryset = Command.objects.all()
    serializer_class = CommandSerializer
    filterset_class = DeviceCommandFilters
    page_limit = PAGE
    has_large_rows = True

    @extend_schema(
        operation_id="commands_of_device_list",
        tags=["commands"],
        summary="List commands of a device",
        responses=CommandSerializer(many=True),
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """The newest first. Those that still may come to a good end have no `finished_at`.

        Where results are large, a page of more than 100 may hold fewer than `limit`: go on while
        there is a `next`.
        """
        devices = Device.objects.visible_to(person(request)).only("pk")
        device = get_object_or_404(devices, device_uid=device_uid)
        # Optimization: who may see the device may see its commands, so nothing else is asked for.
        commands = Command.objects.filter(device=device).annotate(json=COMMAND)
        page = self.paginate_queryset(self.filter_queryset(commands))
        return self.get_paginated_response(json_array(page))


class CommandViewSet(GenericViewSet):
    """The commands that the user may see."""

    queryset = Command.objects.all()
    serializer_class = CommandSerializer
    filterset_class = CommandFilters
    lookup_field = "id"
    lookup_value_regex = UUID_PATTERN
    page_limit = PAGE
    has_large_rows = True

    def get_queryset(self) -> CommandQuerySet:
        return Command.objects.visible_to(person(self.request))

    def get_serializer_class(self) -> Any:
        kinds = {"create": OrderToManySerializer, "cancel": StrictFields}
        return kinds.get(self.action, CommandSerializer)

    @extend_schema(summary="List commands", responses=CommandSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The newest first, to all devices that you may see.

        Where results are large, a page of more than 100 may hold fewer than `limit`: go on while
        there is a `next`.
        """
        commands = self.filter_queryset(self.get_queryset().annotate(json=COMMAND))
        return self.get_paginated_response(json_array(self.paginate_queryset(commands)))

    @extend_schema(
        operation_id="commands_send_many",
        summary="Send a command to many devices",
        parameters=[SendQuery, *KEY_HEADERS],
        request=OrderToManySerializer,
        responses={202: BatchWholeSerializer, 200: RehearsedSerializer},
    )
    def create(self, request: Request) -> Response:
        """Queues it for each of them, as one batch, or refuses the whole.

        Devices that are disabled, or have too many commands open, are in `skipped`; 409 if those
        are all. A dry run (200) tells how many devices would get it and which be skipped, and
        refuses a wrong request as this would. It sends nothing, and ignores the key.
        """
        is_dry_run = SendQuery.read(request)["dry_run"]
        key, me = key_of(request), person(request)
        asked = valid(self.get_serializer(data=request.data))
        tenant, target = asked.validated_data["tenant"], asked.target
        devices = devices_of(tenant, target, me)
        if is_dry_run:
            able, skipped = rehearse(asked.order, devices, tenant, target)
            told = [each._asdict() for each in skipped]
            return Response({"dry_run": True, "total": len(able), "skipped": told})
        sent = send_to_many(asked.order, devices, tenant, target, me, key)
        if sent.is_new:
            record(me, ADDITION, sent.what)
        return accepted(request, sent, "command-batch-detail", whole(request, sent.what.pk))

    @extend_schema(summary="Read a command", parameters=[ID], responses=CommandWholeSerializer)
    def retrieve(self, request: Request, id: str) -> Response:
        """With its history: each state it came to, when, and who or what was the reason."""
        QueryParameters.read(request)
        commands: Any = self.get_queryset().annotate(json=COMMAND_WHOLE)
        return Response(get_object_or_404(commands.values_list("json", flat=True), id=id).encode())

    @extend_schema(
        operation_id="commands_cancel",
        summary="Cancel a command",
        parameters=[ID],
        request=None,
        responses=CommandSerializer,
    )
    @action(detail=True, methods=["post"], permission_classes=[MayCancel])
    def cancel(self, request: Request, id: str) -> Response:
        """Certain as long as it is queued and on its way to nobody: then no device ever gets it.

        After that it is 409, which says how far it is; what no device has acknowledged is then not
        published again. Doing it twice changes nothing.
        """
        nothing_in(request)
        commands: Any = Command.objects.filter(pk=get_object_or_404(self.get_queryset(), id=id).pk)
        cancel_and_log(commands, person(request))
        command = commands.annotate(json=COMMAND).get()
        if command.status != CommandStatus.CANCELLED:
            raise Conflict(why_not(command))
        return Response(command.json.encode())


class BatchViewSet(GenericViewSet):
    """The batches that the user may see."""

    queryset = CommandBatch.objects.all()
    serializer_class = BatchSerializer
    filterset_class = BatchFilters
    lookup_field = "id"
    lookup_value_regex = UUID_PATTERN
    page_limit = PAGE_OF_BATCHES

    def get_queryset(self) -> CommandBatchQuerySet:
        return CommandBatch.objects.visible_to(person(self.request))

    def get_serializer_class(self) -> Any:
        return StrictFields if self.action == "cancel" else BatchSerializer

    @extend_schema(
        operation_id="command_batches_list",
        tags=["commands"],
        summary="List batches",
        responses=BatchSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Commands to many, the newest first, with how many are in which state."""
        batches = self.filter_queryset(self.get_queryset().annotate(json=BATCH))
        rows = self.paginate_queryset(batches) or []
        return self.get_paginated_response(f"[{','.join(progressing(request, rows))}]".encode())

    @extend_schema(
        operation_id="command_batches_retrieve",
        tags=["commands"],
        summary="Read a batch",
        parameters=[ID],
        responses=BatchWholeSerializer,
    )
    def retrieve(self, request: Request, id: str) -> Response:
        """How far it is, how its devices were chosen, and which were left out.

        Its commands are `GET /commands?batch={id}`.
        """
        QueryParameters.read(request)
        return Response(whole(request, id))

    @extend_schema(
        operation_id="command_batches_cancel",
        tags=["commands"],
        summary="Cancel what is not sent of a batch",
        parameters=[ID],
        request=None,
        responses=BatchWholeSerializer,
    )
    @action(detail=True, methods=["post"], permission_classes=[MayCancel])
    def cancel(self, request: Request, id: str) -> Response:
        """Cancels all commands of it that are queued and on their way to nobody.

        `counts` tells how many the others are. Those on their way are cancelled as well if the
        broker passes them on to nobody, and what was sent is not published again. Doing it again
        changes nothing.
        """
        nothing_in(request)
        cancel_batch_and_log(get_object_or_404(self.get_queryset(), id=id), person(request))
        return Response(whole(request, id))


def key_of(request: Request) -> str:
    """The Idempotency-Key of a request; empty if there is none."""
    key: str | None = request.headers.get(KEY)
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise ValidationError({KEY: BAD_KEY})
    return key or ""


def valid(serializer: Any) -> Any:
    serializer.is_valid(raise_exception=True)
    return serializer


def accepted(request: Request, sent: Sent, view: str, body: bytes) -> Response:
    """That something is queued, now or by an earlier request with the same key."""
    headers = {"Location": reverse(view, [sent.what.id], request=request)}
    if not sent.is_new:
        headers["Idempotency-Replayed"] = "true"
    return Response(body, HTTP_202_ACCEPTED, headers=headers)


def whole(request: Request, id: Any) -> bytes:
    """A batch with all that is known of it."""
    batches: Any = CommandBatch.objects.visible_to(person(request)).annotate(json=BATCH_WHOLE)
    row = get_object_or_404(batches.values_list("json", "id", named=True), id=id)
    (json,) = progressing(request, [row])
    return json.encode()


def progressing(request: Request, rows: Iterable[Any]) -> list[str]:
    """The JSON of batches, with how far each is."""
    rows = list(rows)
    found = progress_of([row.id for row in rows], person(request))
    return [with_progress(row.json, found[row.id]) for row in rows]
