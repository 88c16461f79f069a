"""Import and export of devices over the API."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from accounts.faults import TooLarge
from accounts.files import file
from accounts.rest import ByRole, FileNegotiation, QueryParameters, person
from devices.bulk.examples import CSV_EXPORTED, CSV_FILE, JSON_EXPORTED, JSON_FILE, REFUSED, REPORT
from devices.bulk.files import (
    DEVICES,
    LARGEST_FILE,
    Row,
    read_csv,
    read_json,
    write_csv,
    write_json,
)
from devices.bulk.report import RefusalSerializer, Refused, ReportSerializer
from devices.bulk.upsert import DeviceRowSerializer, import_devices
from devices.filters import DeviceFilters
from devices.models import Device, DeviceQuerySet

CSV = "text/csv"
JSON = "application/json"
PROBLEM = "application/problem+json"


class CSVParser(BaseParser):
    """The rows of a CSV file; of devices, unless a view says by its `table` of what."""

    media_type = CSV

    def parse(  # type: ignore[override]
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> list[Row]:
        raw = stream.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise TooLarge(LARGEST_FILE)
        return read_csv(raw, getattr((parser_context or {}).get("view"), "table", DEVICES))


class MayImport(ByRole):
    """An import creates and changes, whatever the file at hand does."""

    perms_map = ByRole.perms_map | {
        "POST": ["%(app_label)s.add_%(model_name)s", "%(app_label)s.change_%(model_name)s"]
    }


class ImportQuery(QueryParameters):
    dry_run = serializers.BooleanField(
        default=False, help_text="Only tell what would be done, row by row."
    )


class ImportView(APIView):
    queryset = Device.objects.all()
    permission_classes = [MayImport]
    parser_classes: list[Any] = [*api_settings.DEFAULT_PARSER_CLASSES, CSVParser]
    largest_body = LARGEST_FILE

    @extend_schema(
        operation_id="devices_import",
        tags=["devices"],
        summary="Create and change many devices",
        parameters=[ImportQuery],
        request={JSON: DeviceRowSerializer(many=True), CSV: OpenApiTypes.STR},
        responses={200: ReportSerializer, (400, PROBLEM): RefusalSerializer},
        examples=[
            OpenApiExample("A JSON file", JSON_FILE, media_type=JSON, request_only=True),
            OpenApiExample("A CSV file", CSV_FILE, media_type=CSV, request_only=True),
            OpenApiExample("Done", REPORT, response_only=True, status_codes=["200"]),
            OpenApiExample(
                "Refused",
                REFUSED,
                media_type=PROBLEM,
                response_only=True,
                status_codes=["400"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """Brings devices into the state that a file says, all of them or none.

        A device whose `device_uid` is new is created. Of one that exists, what the file has is
        changed and the rest stays.

        In CSV the first line names the columns (`device_uid`, and any of `name`, `tenant`, `type`,
        `is_enabled`, `labels`); without a column a field stays as it is. An empty cell means no
        `name`, no `type` or no `labels`, for `tenant` the one that the device has, or your own;
        `device_uid` and `is_enabled` must not be empty. `labels` are JSON. An apostrophe before
        `=`, `+`, `-` or `@` is taken off.

        If a row has an error, nothing is written: the answer is 400 and has the report as well. A
        dry run answers as the real one would.
        """
        is_dry_run = ImportQuery.read(request)["dry_run"]
        report = import_devices(person(request), rows_in(request.data), is_dry_run=is_dry_run)
        if report.has_errors:
            raise Refused(report)
        return Response(report.as_dict())


def rows_in(body: Any, what: str = "devices") -> list[Row]:
    """The rows of a request, each one of `what`; those of CSV were read by its parser already."""
    if isinstance(body, list) and body and isinstance(body[0], Row):
        return body
    return read_json(body, what)


class ExportQuery(QueryParameters):
    def get_fields(self) -> dict[str, Any]:
        # A field cannot be declared under a keyword.
        return {"as": serializers.ChoiceField(["csv", "json"], default="csv")}


class ExportView(GenericAPIView):
    queryset = Device.objects.all()
    filterset_class = DeviceFilters
    other_parameters = {"as"}
    pagination_class = None
    content_negotiation_class = FileNegotiation

    def get_queryset(self) -> DeviceQuerySet:
        return Device.objects.visible_to(person(self.request)).order_by("device_uid")

    @extend_schema(
        operation_id="devices_export",
        tags=["devices"],
        summary="All devices as a file",
        parameters=[ExportQuery],
        responses={(200, CSV): OpenApiTypes.STR, (200, JSON): DeviceRowSerializer(many=True)},
        examples=[
            OpenApiExample("CSV", CSV_EXPORTED, media_type=CSV, response_only=True),
            OpenApiExample("JSON", JSON_EXPORTED, media_type=JSON, response_only=True),
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """The devices that the filters leave, in a file that `POST /import/devices` takes.

        In CSV, what a spreadsheet would take for a formula has an apostrophe before it; the import
        takes it off again.
        """
        kind = ExportQuery.read(request, ignore=DeviceFilters.base_filters)["as"]
        return file_of(request, self.filter_queryset(self.get_queryset()), kind)


def file_of(
    request: HttpRequest | Request, devices: Any, kind: str, start: bytes = b""
) -> StreamingHttpResponse:
    """The devices as a file to be saved; `kind` is csv or json, `start` how a table begins."""
    if kind == "json":
        return file(request, write_json(devices), "devices.json", JSON)
    return file(request, write_csv(devices, start), "devices.csv", f"{CSV}; charset=utf-8")
