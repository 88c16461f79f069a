"""Leads EMQX past all that is there for people and apps."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from devices.brokers.emqx import urls

Handler = Callable[[HttpRequest], HttpResponseBase]


def for_emqx(get_response: Handler) -> Handler:
    """Questions of EMQX are answered before anything else is done.

    It calls us by the name of our container, which is none of ALLOWED_HOSTS, and would take the
    error for no answer. And it may ask for a whole fleet at once.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(f"/{urls.BEFORE}"):
            return get_response(request)
        try:
            match = request.resolver_match = resolve(request.path_info, urls.__name__)
        except Resolver404:
            return get_response(request)
        answer: HttpResponseBase = match.func(request)
        return answer

    return middleware
