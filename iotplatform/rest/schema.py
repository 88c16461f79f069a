"""What the OpenAPI document says of every operation."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers

from accounts.rest import StrictFields
from iotplatform.rest.problems import CONTENT_TYPE

Endpoint = tuple[str, str, str, Any]


def without_slash(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Every address also takes a slash at its end; the document has the shorter form."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]


class TokenScheme(OpenApiAuthenticationExtension):
    """How an access token is sent."""

    target_class = "accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class DeviceTokenScheme(OpenApiAuthenticationExtension):
    """How a device sends its token, in either way."""

    target_class = "telemetry.door.DeviceAuthentication"
    name = ["device", "device_basic"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        basic = "The uid of the device, or of a gateway for it, and the token."
        return [
            {"type": "http", "scheme": "bearer", "description": "The token of the device."},
            {"type": "http", "scheme": "basic", "description": basic},
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]


class FaultSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="As in `labels.site`; empty: the whole of it.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """An error, as problem details (RFC 9457)."""

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField(help_text="The name of the status.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="For programs.")
    detail = serializers.CharField(help_text="For people: what is wrong and what to do.")
    errors = FaultSerializer(  # type: ignore[assignment]
        many=True, required=False, help_text="Each field that is at fault."
    )


class OperationSchema(AutoSchema):
    """Adds what every operation has: errors as problems, pages with their `Link`."""

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)
        # What may be left out of a request is in the answer all the same.
        if direction == "response" and isinstance(serializer, serializers.ModelSerializer):
            schema["required"] = sorted(schema["properties"])
        if direction == "request" and isinstance(serializer, StrictFields):
            schema["additionalProperties"] = False
        return schema

    def _get_request_body(self, direction: Direction = "request") -> dict[str, Any] | None:
        body: dict[str, Any] | None = super()._get_request_body(direction)
        if body and self.method == "POST":
            body["required"] = True
        return body

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        problem = self.resolve_serializer(ProblemSerializer, direction).ref
        for status, description in (("4XX", "The request cannot be done."), ("5XX", "A fault.")):
            bodies[status] = {
                "description": description,
                "content": {CONTENT_TYPE: {"schema": problem}},
            }
        if self._is_list_view() and self._get_paginator():
            bodies["200"]["headers"] = {
                "Link": {
                    "description": 'The pages around: rel="next", "prev" and "first" (RFC 8288).',
                    "schema": {"type": "string"},
                }
            }
        return bodies
