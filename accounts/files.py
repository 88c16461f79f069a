"""Files to be saved, of any size, sent while they are made."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request

FORMULA_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
"""A spreadsheet takes what begins so for a formula, and formulas can send data away (OWASP)."""


class TooOldProtocol(APIException):
    """Over HTTP/1.0 a file ends when the connection does: a broken one would look complete."""

    status_code = status.HTTP_505_HTTP_VERSION_NOT_SUPPORTED
    default_code = "http_version"

    def __init__(self) -> None:
        super().__init__(
            _(
                "Use HTTP/1.1: over HTTP/1.0 half a file looks like a whole one. Behind nginx, set "
                "“proxy_http_version 1.1”."
            )
        )


def file(
    request: HttpRequest | Request, blocks: Iterator[bytes], name: str, content_type: str
) -> StreamingHttpResponse:
    """A file to be saved, out of one block or more, under a name that every system takes.

    Its beginning is made first: a fault then is an answer of its own and not half a file.
    """
    if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise TooOldProtocol
    # For the headers alone a server would still have all of it made.
    content = () if request.method == "HEAD" else chain([next(blocks)], blocks)
    headers = {"Content-Disposition": f'attachment; filename="{name.replace(":", "-")}"'}
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


def csv_text(lines: Iterable[Iterable[Any]]) -> bytes:
    """Rows of cells as RFC 4180 has them."""
    text = StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
