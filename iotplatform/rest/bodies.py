"""Bodies of requests and answers: strict JSON in, JSON out."""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from accounts.faults import TooLarge
from telemetry.parse import parse
from telemetry.reasons import Reason, Rejected

LARGEST = 1024 * 1024
"""Bytes of a body, where a view does not say otherwise by `largest_body`."""


class StrictJSONParser(BaseParser):
    """JSON as devices may send it too: nothing in it that PostgreSQL cannot keep.

    Not REST framework's own, whose body is read by Django up to a limit that is the same for all
    views, and answered without a word about size beyond that.
    """

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        largest = getattr((parser_context or {}).get("view"), "largest_body", LARGEST)
        try:
            # One byte more than allowed shows that there is too much, without reading all of it.
            raw = stream.read(largest + 1 + len(BOM_UTF8)).removeprefix(BOM_UTF8)
            value = parse(raw, largest)
        except Rejected as problem:
            if problem.reason == Reason.TOO_LARGE:
                raise TooLarge(largest) from problem
            raise ParseError(f"The body cannot be taken: {problem.detail}") from problem
        if not isinstance(value, dict | list):
            raise ParseError("The body is no JSON object or array, as application/json has to be.")
        return value


class PassThroughJSONRenderer(JSONRenderer):
    """JSON; what comes as bytes is JSON already, made by PostgreSQL."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if not isinstance(data, bytes):
            return super().render(data, accepted_media_type, renderer_context)
        # The browsable API asks for JSON that people can read.
        if (renderer_context or {}).get("indent"):
            return super().render(json.loads(data), accepted_media_type, renderer_context)
        return data
