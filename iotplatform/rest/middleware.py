"""What has to be said before a view of the API is asked."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from iotplatform.rest.problems import answer


def require_length(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Refuses bodies that come in chunks: Django would take them for empty ones."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
            return answer(411, "length_required", "Send the body with a Content-Length.")
        return get_response(request)

    return middleware
