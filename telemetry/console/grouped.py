"""The console's page of open rejected messages by reason and device."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin import coloured, moment, person
from accounts.words import number
from devices.models import Device
from telemetry.console.advice import ADVICE
from telemetry.groups import COUNTED, Group, groups, totals
from telemetry.models import RejectedMessage, RejectedOverflow
from telemetry.reasons import SHORT, Reason

FEW = 5
"""Devices of a reason beside other reasons."""
MANY = 50
"""Devices on a page of one reason."""
NAMELESS = "(none)"
"""In an address, where the topic names no device; no device can be called that."""
OURS = (Reason.ERROR, Reason.DATABASE)


def label(reason: str) -> SafeString:
    """The word for a reason; red where the fault may be the platform's."""
    return coloured(SHORT.get(reason, reason), "danger" if reason in OURS else "")


def removed(request: HttpRequest) -> dict[str, Any]:
    """How many messages of those whom this person sees were removed, and by which limit."""
    overflow = RejectedOverflow.objects.visible_to(person(request))
    sums = overflow.aggregate(number=Sum("number", default=0), last_at=Max("last_at"))
    return {
        "number": sums["number"],
        "said": number(sums["number"]),
        "last": moment(sums["last_at"]),
        "limit": number(settings.REJECTED_MAX),
    }


def page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """All reasons that there are, each with a few devices; or one, with all of them in pages."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    reason, after = request.GET.get("reason"), request.GET.get("after")
    one = [reason] if reason in Reason.values else None
    if after and "\0" in after:
        after = None
    messages = RejectedMessage.objects.visible_to(person(request))
    numbers = totals(messages, one or Reason.values)
    limit = MANY if one else FEW
    found = groups(messages, list(numbers), limit + 1, after if one else None)
    pages = _pages(request, found)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("Rejected messages"),
        "media": model_admin.media,
        "shown": "groups",
        "removed": removed(request),
        "can_deal": model_admin.has_deal_permission(request),
        "one": one and one[0],
        "is_later": bool(one and after is not None),
        "sections": [
            _section(name, numbers[name], [g for g in found if g.reason == name], limit, pages)
            for name in sorted(numbers, key=numbers.__getitem__, reverse=True)
        ],
        "counted": COUNTED,
    }
    return TemplateResponse(request, "admin/telemetry/rejectedmessage/groups.html", context)


def _pages(request: HttpRequest, found: list[Group]) -> dict[str, str]:
    """The pages of those devices that there are and that this person sees."""
    devices = Device.objects.visible_to(person(request))
    known = devices.filter(device_uid__in={group.device_uid for group in found})
    return {
        uid: reverse("admin:devices_device_change", args=[key])
        for uid, key in known.values_list("device_uid", "pk")
    }


def _section(
    reason: str, number: int, found: list[Group], limit: int, pages: dict[str, str]
) -> dict[str, Any]:
    shown = found[:limit]
    place = {"reason": reason}
    if limit == MANY and shown:
        place["after"] = shown[-1].device_uid
    return {
        "reason": reason,
        "label": label(reason),
        "sentence": Reason(reason).label,
        "advice": ADVICE[Reason(reason)],
        "number": number,
        "chosen": urlencode({"reason__exact": reason}),
        "rows": [
            {
                "group": group,
                "page": pages.get(group.device_uid),
                "newest": moment(group.newest),
                "oldest": moment(group.oldest),
                "chosen": urlencode(
                    {"reason__exact": reason, "device_uid": group.device_uid or NAMELESS}
                ),
            }
            for group in shown
        ],
        "next": urlencode(place) if len(found) > limit else "",
    }
