"""Whether a client may go on: everything that let it in is looked up again."""

from collections.abc import Callable
from copy import copy
from typing import Any, cast

from django.contrib.auth import get_user
from django.http import HttpRequest
from rest_framework.exceptions import APIException
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from telemetry.live.stream import Following

MOVED = "moved"


class Rights:
    """Those of a request to `view`, which let it follow what `follow` found."""

    def __init__(
        self, view: GenericAPIView, request: Request, follow: Callable[[Request], Following]
    ) -> None:
        self.following = follow(request)
        self._view = view
        self._http: Any = request._request
        self._follow = follow

    def lost(self) -> str:
        """Why they hold no longer, in a word for programs; empty while they do.

        Raises a database error where nobody can say.
        """
        try:
            request = self._view.initialize_request(anew(self._http))
            self._view.check_permissions(request)
            following = self._follow(request)
        except APIException as error:
            return code_of(error)
        return "" if following == self.following else MOVED


def anew(http: HttpRequest) -> HttpRequest:
    """The same request, as if it came now: nothing that was found out about it is known."""
    again: Any = copy(http)
    again.session = type(http.session)(http.session.session_key)
    again.user = get_user(again)
    return cast(HttpRequest, again)


def code_of(error: APIException) -> str:
    # simplejwt says it in a mapping.
    detail: Any = error.detail
    said = detail.get("detail") if isinstance(detail, dict) else detail
    return getattr(said, "code", None) or error.default_code
