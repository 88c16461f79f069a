"""What holds for every answer to a program, whichever part of Django makes it."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from iotplatform.rest.problems import CONTENT_TYPE, problem

Handler = Callable[[HttpRequest], HttpResponseBase]

SAID = {
    400: "The request cannot be understood. Check host and headers.",
    403: "You may not do this.",
    404: "There is nothing at this address. /docs lists what there is.",
    411: "Send the body with a Content-Length.",
    500: "A fault of the platform; its log says more. Try again later.",
}


def for_programs(get_response: Handler) -> Handler:
    """Django's own errors, its pages of DEBUG too, become problems; nothing is kept by caches.

    The console is left alone, and so are people who look at the API by a browser.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/admin/"):
            return get_response(request)
        response = answer(411) if is_in_chunks(request) else get_response(request)
        if response.status_code >= 400 and not says_so(response) and not wants_page(request):
            response = answer(response.status_code, response.get("Allow"))
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return middleware


def is_in_chunks(request: HttpRequest) -> bool:
    """Whether a body comes without its length: Django would take it for an empty one."""
    return "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH")


def says_so(response: HttpResponseBase) -> bool:
    return response.get("Content-Type", "").startswith(CONTENT_TYPE)


def wants_page(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def answer(status: int, allow: str | None = None) -> HttpResponse:
    """The problem of an HTTP status."""
    named = HTTPStatus(status)
    body = problem(status, named.name.lower(), SAID.get(status, f"{named.phrase}."), [])
    headers = {"Allow": allow} if allow else None
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
