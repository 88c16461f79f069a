"""What holds for every page of the console: its language, and the tenant that staff work in."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.admin.models import CHANGE
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import Resolver404, resolve, reverse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.history import record
from accounts.models import Tenant

Handler = Callable[[HttpRequest], HttpResponseBase]

CONSOLE = "/admin/"
NUMBER = re.compile(r"\d{1,18}", re.ASCII)
SWITCHED_TO = "tenant"
"""In a session of platform staff, the key of the tenant that they have narrowed their view to."""


def for_console(get_response: Handler) -> Handler:
    """Pages in the language of the person, else of the browser, and about the chosen tenant.

    The API is left alone: it speaks English, and a token has no session.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(CONSOLE):
            return get_response(request)
        narrow(request)
        language = language_of(request)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = get_response(request)
        response.headers.setdefault("Content-Language", language)
        # Pages show what is not for others who use the same browser later.
        response.headers.setdefault("Cache-Control", "private, no-store")
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response

    return middleware


def language_of(request: HttpRequest) -> str:
    """What the person chose; without a choice, or a person, what their browser asks for."""
    chosen = getattr(request.user, "language", "")
    return chosen or translation.get_language_from_request(request)


def narrow(request: HttpRequest) -> None:
    """Sets `User.switched_to` as the session says. Only staff, who see all, can narrow that."""
    user: Any = request.user
    chosen = request.session.get(SWITCHED_TO) if user.is_authenticated else None
    if chosen and user.is_superuser:
        user.switched_to = Tenant.objects.filter(pk=chosen).first()


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Keeps the language that a person wants; with an empty one the browser decides again."""
    user: Any = request.user
    language = request.POST.get("language", "")
    if language and language not in dict(settings.LANGUAGES):
        raise BadRequest("There is no such language.")
    if user.language != language:
        user.language = language
        user.save(update_fields=["language"])
        record(user, CHANGE, user, ["language"])
    return redirect(back(request))


@require_POST
def switch_tenant(request: HttpRequest) -> HttpResponse:
    """Narrows what platform staff see to one tenant; with none given, they see all again."""
    user: Any = request.user
    if not user.is_superuser:
        raise PermissionDenied
    chosen = request.POST.get("tenant", "")
    if not chosen:
        request.session.pop(SWITCHED_TO, None)
    elif NUMBER.fullmatch(chosen) and Tenant.objects.filter(pk=chosen).exists():
        request.session[SWITCHED_TO] = int(chosen)
    else:
        raise BadRequest("There is no such tenant.")
    return redirect(without_object(back(request)))


def back(request: HttpRequest) -> str:
    """The page that a form was on, which looks the same on all pages and does not say."""
    page = request.headers.get("Referer", "")
    hosts = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(page, hosts, require_https=request.is_secure())
    return page if is_ours else reverse("admin:index")


def without_object(page: str) -> str:
    """`page` if it is a list; the home page if it is about one thing, which may be hidden now."""
    path = urlsplit(page).path
    try:
        match = resolve(path)
    except Resolver404:
        return reverse("admin:index")
    is_list = match.url_name and match.url_name.endswith("_changelist")
    return path if is_list else reverse("admin:index")
