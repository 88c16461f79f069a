"""Counts what the web server is asked, by route; outermost of all that Django does."""

import time
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import Counter, Histogram

Handler = Callable[[HttpRequest], HttpResponseBase]

REQUESTS = Counter(
    "iotplatform_http_requests",
    "Requests that were answered.",
    ["method", "route", "status"],
    registry=None,
)
# Up to the first byte: streams and exports go on for as long as they like.
SECONDS = Histogram(
    "iotplatform_http_request_seconds",
    "Seconds until the answer to a request began.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=None,
)
OF_REQUESTS = REQUESTS, SECONDS
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"


def measured(get_response: Handler) -> Handler:
    """Every request is counted, by what there is a bounded number of: never by its address."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = get_response(request)
        route = route_of(request)
        method = str(request.method)
        REQUESTS.labels(method if method in METHODS else "other", route, response.status_code).inc()
        SECONDS.labels(route).observe(time.perf_counter() - began)
        return response

    return middleware


def route_of(request: HttpRequest) -> str:
    """The pattern of the address, as /devices/<device_uid>; “none” where there is no such thing."""
    if request.resolver_match:
        return written(request.resolver_match.route)
    is_static = request.path_info.startswith(settings.STATIC_URL)
    return settings.STATIC_URL if is_static else NO_ROUTE


@cache
def written(pattern: str) -> str:
    return simplify_regex(pattern).removesuffix("/") or "/"
