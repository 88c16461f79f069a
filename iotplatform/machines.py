"""Leads who looks after the web server past what is there for people and apps."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve

Handler = Callable[[HttpRequest], HttpResponseBase]

ADDRESSES = {"/healthz", "/readyz", "/metrics"}


def for_machines(get_response: Handler) -> Handler:
    """Docker and Prometheus call us by the name of our container, which is none of ALLOWED_HOSTS.

    And what is wrong with the platform is to be heard in these addresses' own words.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in ADDRESSES or request.method not in ("GET", "HEAD"):
            return get_response(request)
        match = request.resolver_match = resolve(request.path_info)
        answer: HttpResponseBase = match.func(request)
        answer.headers.setdefault("Cache-Control", "private, no-store")
        return answer

    return middleware
