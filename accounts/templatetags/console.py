"""What the frame of every page of the console shows: tenants to switch to, and languages."""

from typing import Any

from django import template
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.template import RequestContext
from django.utils.translation import gettext

from accounts.models import Tenant
from accounts.words import in_language

register = template.Library()

MOST_IN_MENU = 30
"""Tenants that the menu of every page lists; the page of tenants has all of them."""


@register.inclusion_tag("accounts/switch.html", takes_context=True)
def tenant_switch(context: RequestContext) -> dict[str, Any]:
    """The choice between tenants, for platform staff."""
    request = context["request"]
    tenants = list(Tenant.objects.order_by("slug")[: MOST_IN_MENU + 1])
    return {
        "request": request,
        "csrf_token": context["csrf_token"],
        "chosen": request.user.switched_to,
        "tenants": tenants[:MOST_IN_MENU],
        "has_more": len(tenants) > MOST_IN_MENU,
    }


@register.filter
def said(entry: LogEntry) -> str:
    """What an entry of the history says, in the language of the page."""
    return "" if entry.is_deletion() else in_language(entry.get_change_message())


@register.simple_tag(takes_context=True)
def languages(context: RequestContext) -> list[dict[str, Any]]:
    """The languages that a person can choose, and that the browser may decide."""
    chosen = context["request"].user.language
    offered = [("", gettext("As the browser asks")), *settings.LANGUAGES]
    return [{"code": code, "name": name, "is_chosen": code == chosen} for code, name in offered]
