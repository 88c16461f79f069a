"""Errors as problem details (RFC 9457): one shape for all of them, whoever finds the error."""

import http
import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from psycopg.errors import QueryCanceled
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    ValidationError,
)
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.response import Response
from rest_framework.views import set_rollback
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.faults import faults_in

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


ADVICE: dict[type[APIException], str] = {
    NotAuthenticated: "Log in at /auth/login, and send the token: “Authorization: Bearer …”.",
    InvalidToken: "The token has run out, or never was one. Get another at /auth/refresh. (A "
    "device's token only sends: POST /telemetry/{uid}.)",
    Forbidden: "Your role does not allow this. /auth/me lists what it does; ask an admin for more.",
    NotFound: "There is no such thing, or you may not see it.",
    NotAcceptable: "The answer is JSON: accept application/json.",
}
"""What to do about an error, where REST framework only says what it is."""

BAD_TOKEN = "Given token not valid for any token type"


class Unavailable(APIException):
    status_code = 503
    default_code = "unavailable"
    default_detail = "The database does not answer right now. Try again in a moment."
    wait = 5


class TookTooLong(APIException):
    status_code = 503
    default_code = "took_too_long"
    default_detail = "This takes the database too long. Ask for less, such as a shorter time."


def problem(status: int, code: str, detail: str, errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of an error; `errors` name the fields that are at fault, if fields are."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return body | ({"errors": errors} if errors else {})


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an error in a view of the API; None for a fault of ours.

    An error may have more to say than the members that all have, in a mapping `more`.
    """
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, PermissionDenied):
        error = Forbidden()
    elif isinstance(error, OperationalError | InterfaceError):
        logger.error("The database does not answer.", exc_info=error)
        is_too_long = isinstance(error.__cause__, QueryCanceled)
        error = TookTooLong() if is_too_long else Unavailable()
    if not isinstance(error, APIException):
        return None
    set_rollback()
    body = body_of(error) | getattr(error, "more", {})
    response = Response(body, status=error.status_code, headers=headers_of(error))
    # Nothing is accepted yet where that itself is the error.
    renderer = getattr(context["request"], "accepted_renderer", None)
    if getattr(renderer, "format", "json") == "json":
        response.content_type = CONTENT_TYPE
    return response


def body_of(error: APIException) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        faults = list(faults_in(error.detail))
        errors: list[dict[str, Any]] = [
            # Errors of Django's forms need not have a code.
            {"field": field, "code": what.code or "invalid", "detail": what}
            for field, what in faults
        ]
        return problem(error.status_code, "invalid", in_one_sentence(faults), errors)
    detail = error.detail
    # simplejwt says it in a mapping.
    said: Any = detail.get("detail", detail) if isinstance(detail, dict) else detail
    code = getattr(said, "code", None) or "error"
    is_stock = said in (error.default_detail, BAD_TOKEN)
    text = ADVICE.get(type(error), said) if is_stock else said
    return problem(error.status_code, code, str(text), [])


def in_one_sentence(faults: list[tuple[str, ErrorDetail]]) -> str:
    if not faults:
        return "The request is not valid."
    field, what = faults[0]
    more = f" ({len(faults) - 1} more in “errors”.)" if len(faults) > 1 else ""
    return f"{field}: {what}{more}" if field else f"{what}{more}"


def headers_of(error: APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    return headers
