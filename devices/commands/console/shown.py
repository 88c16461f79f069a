"""How the console shows commands: addresses, labels, values."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from django.contrib.humanize.templatetags.humanize import naturaltime
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext

from accounts.admin import coloured, exact
from accounts.words import number
from devices.models import CommandStatus, Device

COLOURS = {
    CommandStatus.SENT: "info",
    CommandStatus.ACKNOWLEDGED: "info",
    CommandStatus.SUCCEEDED: "success",
    CommandStatus.FAILED: "danger",
    CommandStatus.EXPIRED: "warning",
}
LINK = '<a class="font-semibold text-primary-600 dark:text-primary-500" href="{}">{}</a>'
ROW = '<span class="flex flex-wrap gap-1">{}</span>'
BRIEF = 60
LONGEST_SHOWN = 20_000


def page_of(what: Model) -> str:
    """The address of the console's page of a device, a command or a batch."""
    return reverse(f"admin:devices_{what._meta.model_name}_change", args=[what.pk])


def link(what: Model) -> SafeString:
    return format_html(LINK, page_of(what), what)


def named_link(device: Device) -> SafeString:
    """A link that has the name of a device too, where it says more than the uid."""
    if device.name in ("", device.device_uid):
        return link(device)
    return format_html("{} ({})", link(device), device.name)


def found(rows: QuerySet[Any], key: str | None) -> Any:
    """The row that a parameter of an address names, if it is given."""
    try:
        return rows.get(pk=key) if key else None
    except (rows.model.DoesNotExist, ValueError, ValidationError) as error:
        said = gettext("There is no such {what}.").format(what=rows.model._meta.verbose_name)
        raise Http404(said) from error


def once(what: Any, name: str, rows: QuerySet[Any]) -> list[Any]:
    """The rows, which `what` keeps by that name.

    Optimization: Unfold's template asks five times for what a page shows of a field.
    """
    if name not in vars(what):
        setattr(what, name, list(rows))
    return cast(list[Any], getattr(what, name))


def when(at: datetime | None) -> str | None:
    """A time for a page of its own: exactly, for there is nothing to hover with on a phone."""
    return f"{exact(at)} UTC, {naturaltime(at)}" if at else None


def in_brief(params: dict[str, Any]) -> str:
    return Truncator(json.dumps(params, ensure_ascii=False)).chars(BRIEF) if params else ""


def pretty(value: Any) -> SafeString:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    context = {"text": text[:LONGEST_SHOWN], "is_cut": len(text) > LONGEST_SHOWN}
    return render_to_string("admin/devices/command/json.html", context)


def status_label(status: str, count: int | None = None) -> SafeString:
    known = CommandStatus(status)
    text = str(known.label) if count is None else f"{number(count)} {known.label.lower()}"
    return coloured(text, COLOURS.get(known, ""))


def status_of(command: Any) -> SafeString:
    """How far a command is; and that it is not as it seems, if the device replied too late."""
    label = status_label(command.status)
    if not command.is_late:
        return label
    return in_a_row([label, late_label()])


def late_label() -> SafeString:
    return coloured(gettext("late reply"), "warning")


def in_a_row(labels: Iterable[SafeString]) -> SafeString:
    return format_html(ROW, format_html_join("", "{}", ((label,) for label in labels)))
