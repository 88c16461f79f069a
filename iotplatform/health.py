"""Is this process alive?"""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process can answer; says nothing about the database or the broker."""
    return JsonResponse({"status": "ok"})
