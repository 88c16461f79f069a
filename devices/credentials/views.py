"""Credentials over the API: made, shown without their secret, and ended."""

from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.settings import api_settings
from rest_framework.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT
from rest_framework.views import APIView

from accounts.rest import ByRole, FileNegotiation, QueryParameters, json_array, nothing_in, person
from devices.bulk.files import LARGEST_FILE
from devices.bulk.report import RefusalSerializer, Refused, ReportSerializer
from devices.bulk.views import (
    CSV,
    JSON,
    PROBLEM,
    CSVParser,
    ExportQuery,
    ImportQuery,
    rows_in,
)
from devices.commands.targets import check_found, devices_of
from devices.commands.views import valid
from devices.credentials import examples
from devices.credentials.access import access_of, notice_of, topics_of
from devices.credentials.files import TOKENS, chosen, file_of
from devices.credentials.filters import CredentialFilters
from devices.credentials.importing import import_tokens
from devices.credentials.issuing import Issued
from devices.credentials.recorded import issue_and_record, revoke_and_record, speak_for_and_record
from devices.credentials.representation import CREDENTIAL
from devices.credentials.serializers import (
    AccessSerializer,
    CredentialChangeSerializer,
    CredentialSerializer,
    IssuedSerializer,
    IssueSerializer,
    IssueToManySerializer,
    NewTokenSerializer,
    TokenRowSerializer,
)
from devices.models import Credential, Device

PAGE = 100
ID = OpenApiParameter("id", int, OpenApiParameter.PATH)


class MayEnd(ByRole):
    """To revoke is to change: the credential stays in the list."""

    perms_map = ByRole.perms_map | {"DELETE": ByRole.perms_map["PATCH"]}


def device_of(request: Request, device_uid: str) -> Device:
    devices = Device.objects.visible_to(person(request)).select_related("tenant")
    return get_object_or_404(devices, device_uid=device_uid)


class CredentialsView(GenericAPIView):
    """The credentials of a device."""

    queryset = Credential.objects.all()
    serializer_class = IssueSerializer
    filterset_class = CredentialFilters
    page_limit = PAGE

    @extend_schema(
        operation_id="credentials_list",
        tags=["credentials"],
        summary="List credentials of a device",
        responses=CredentialSerializer(many=True),
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """The newest first, with those that ended. Nobody can be shown a token again."""
        credentials = Credential.objects.filter(device=device_of(request, device_uid))
        page = self.paginate_queryset(self.filter_queryset(credentials.annotate(json=CREDENTIAL)))
        return self.get_paginated_response(json_array(page))

    @extend_schema(
        operation_id="credentials_issue",
        tags=["credentials"],
        summary="Give a device a new credential",
        responses={201: IssuedSerializer},
    )
    def post(self, request: Request, device_uid: str) -> Response:
        """The token is in this answer and nowhere else.

        Those so far end at once, or after `overlap`. A disabled device may have one, and is
        admitted when it is enabled.
        """
        QueryParameters.read(request)
        device = device_of(request, device_uid)
        asked = valid(self.get_serializer(data=request.data))
        issued = issue_and_record([device], person(request), asked.terms())
        if not issued:
            raise NotFound
        (made,) = issued
        address = reverse("credential", [device_uid, made.credential.pk], request=request)
        return Response(shown_once(device, made), HTTP_201_CREATED, headers={"Location": address})


class CredentialView(GenericAPIView):
    """One credential of a device."""

    queryset = Credential.objects.all()
    serializer_class = CredentialChangeSerializer
    filter_backends = []
    pagination_class = None
    permission_classes = [MayEnd]

    @extend_schema(
        operation_id="credentials_retrieve",
        tags=["credentials"],
        summary="Read a credential",
        parameters=[ID],
        responses=CredentialSerializer,
    )
    def get(self, request: Request, device_uid: str, id: str) -> Response:
        """When it was made, by whom, and whether it is in force."""
        QueryParameters.read(request)
        return self._shown(request, device_uid, id)

    @extend_schema(
        operation_id="credentials_partial_update",
        tags=["credentials"],
        summary="Change what a credential speaks for",
        parameters=[ID],
        responses=CredentialSerializer,
    )
    def patch(self, request: Request, device_uid: str, id: str) -> Response:
        """The token stays what it is. One that has ended cannot be changed: 409.

        The broker is told, and may put off the device, which then connects again.
        """
        QueryParameters.read(request)
        credentials = self._of(request, device_uid).select_related("device")
        credential = get_object_or_404(credentials, pk=id)
        asked = valid(self.get_serializer(data=request.data, partial=True)).validated_data
        if "gateway_for" in asked:
            speak_for_and_record(credential, asked["gateway_for"], person(request))
        return self._shown(request, device_uid, id)

    @extend_schema(
        operation_id="credentials_revoke",
        tags=["credentials"],
        summary="Revoke a credential",
        parameters=[ID],
        responses={204: None},
    )
    def delete(self, request: Request, device_uid: str, id: str) -> Response:
        """It ends at once, and with it the device's connection; it stays in the list.

        Doing it twice changes nothing.
        """
        nothing_in(request)
        credentials = self._of(request, device_uid).select_related("device")
        revoke_and_record(get_object_or_404(credentials, pk=id), person(request))
        return Response(status=HTTP_204_NO_CONTENT)

    def _shown(self, request: Request, device_uid: str, id: str) -> Response:
        credentials = self._of(request, device_uid).annotate(json=CREDENTIAL)
        return Response(get_object_or_404(credentials, pk=id).json.encode())

    def _of(self, request: Request, device_uid: str) -> Any:
        mine = Credential.objects.visible_to(person(request))
        return mine.filter(device__device_uid=device_uid)


class AccessView(APIView):
    """What a device may do at the broker."""

    queryset = Credential.objects.all()

    @extend_schema(
        operation_id="credentials_access",
        tags=["credentials"],
        summary="What a device may do at the broker",
        responses=AccessSerializer,
    )
    def get(self, request: Request, device_uid: str) -> Response:
        """With its newest credential, and whether the broker has been told.

        `broker` says what stands between: while `pending` is true, the broker knows an older state.
        """
        QueryParameters.read(request)
        return Response(access_of(device_of(request, device_uid)))


class IssueToManyView(GenericAPIView):
    """New credentials for many devices, as one file."""

    queryset = Credential.objects.all()
    serializer_class = IssueToManySerializer
    filter_backends = []
    pagination_class = None
    content_negotiation_class = FileNegotiation

    @extend_schema(
        operation_id="credentials_issue_many",
        tags=["credentials"],
        summary="Give many devices new credentials",
        parameters=[ExportQuery],
        responses={(201, CSV): OpenApiTypes.STR, (201, JSON): NewTokenSerializer(many=True)},
        examples=[
            OpenApiExample("For devices with a label", examples.TO_LABELS, request_only=True),
            OpenApiExample("For some devices", examples.TO_NAMED, request_only=True),
            OpenApiExample("For all of a tenant", examples.TO_ALL, request_only=True),
            OpenApiExample("CSV", examples.CSV_ISSUED, media_type=CSV, response_only=True),
            OpenApiExample("JSON", examples.JSON_ISSUED, media_type=JSON, response_only=True),
        ],
    )
    def post(self, request: Request) -> HttpResponse:
        """The answer is a file with the tokens, which are nowhere else: all of them or none.

        Those so far end at once, or after `overlap`: whoever loses the file asks again. In CSV,
        what a spreadsheet would take for a formula has an apostrophe before it.
        """
        kind, me = ExportQuery.read(request)["as"], person(request)
        asked = valid(self.get_serializer(data=request.data))
        devices = chosen(devices_of(asked.validated_data["tenant"], asked.target, me))
        check_found(asked.target, {device.device_uid for device in devices})
        return file_of(issue_and_record(devices, me, asked.terms()), kind)


class ImportTokensView(APIView):
    """Tokens that devices have already."""

    queryset = Credential.objects.all()
    parser_classes: list[Any] = [*api_settings.DEFAULT_PARSER_CLASSES, CSVParser]
    largest_body = LARGEST_FILE
    table = TOKENS

    @extend_schema(
        operation_id="credentials_import",
        tags=["credentials"],
        summary="Import tokens that devices have already",
        parameters=[ImportQuery],
        request={JSON: TokenRowSerializer(many=True), CSV: OpenApiTypes.STR},
        responses={200: ReportSerializer, (400, PROBLEM): RefusalSerializer},
        examples=[
            OpenApiExample("A JSON file", examples.JSON_FILE, media_type=JSON, request_only=True),
            OpenApiExample("A CSV file", examples.CSV_FILE, media_type=CSV, request_only=True),
            OpenApiExample("Done", examples.REPORT, response_only=True, status_codes=["200"]),
            OpenApiExample(
                "Refused",
                examples.REFUSED,
                media_type=PROBLEM,
                response_only=True,
                status_codes=["400"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """So that devices of another system can go on with what they have, all of them or none.

        In CSV the first line names the columns: `device_uid`, `token`, and perhaps `expires_at`. A
        device that has a credential in force is `updated`: that one ends at once. One that has just
        this token is `unchanged`. A token has 32 to 128 visible characters of ASCII, which nobody
        should be able to guess, and no other device may have it or have had it.

        If a row has an error, nothing is written: the answer is 400 and has the report as well,
        without a token, and without what stands for a uid that no device has. A dry run answers as
        the real one would.
        """
        is_dry_run = ImportQuery.read(request)["dry_run"]
        rows = rows_in(request.data, "tokens")
        report = import_tokens(person(request), rows, is_dry_run=is_dry_run)
        if report.has_errors:
            raise Refused(report)
        return Response(report.as_dict())


def shown_once(device: Device, made: Issued) -> dict[str, Any]:
    """A new credential with its token, in the form that IssuedSerializer describes."""
    row: Any = Credential.objects.annotate(json=CREDENTIAL).get(pk=made.credential.pk)
    return orjson.loads(row.json) | {
        "username": device.device_uid,
        "client_id": device.device_uid,
        "token": made.token,
        "topics": topics_of(device),
        "notice": notice_of(device),
    }
