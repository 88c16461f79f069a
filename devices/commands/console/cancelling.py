"""What the console's pages of commands and of batches have in common: a button to cancel."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts.readonly import ReadOnlyAdmin
from accounts.words import number
from devices.commands.console.shown import page_of
from devices.models import UNHEARD, CommandQuerySet, CommandStatus

NOT_AGAIN = _("What is out already is not published again.")


class CancellableAdmin(ReadOnlyAdmin):
    """Read-only pages but for that button, which the template of each model shows."""

    commands_of: Callable[[Any], CommandQuerySet]
    """What the button of a page cancels, given what the page is of."""
    cancel_one: Callable[[HttpRequest, Any], None]
    """Cancels that, and says what came of it."""

    class Media:
        js = ("devices/live.js",)

    def get_urls(self) -> list[URLPattern]:
        name = f"devices_{self.opts.model_name}_cancel"
        page = self.admin_site.admin_view(self.cancel_view)
        return [path("<path:object_id>/cancel/", page, name=name), *super().get_urls()]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"devices.change_{self.opts.model_name}"))

    @method_decorator(require_POST)
    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        what = self.get_object(request, object_id)
        self.cancel_one(request, what)
        return redirect(page_of(what))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django would show the list and not say that the action was none of theirs.
        if request.method == "POST" and not self.has_cancel_permission(request):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        commands = self.commands_of(context["original"])
        context["can_cancel"] = self.has_cancel_permission(request) and held_back(commands).exists()
        context["is_certain"] = context["can_cancel"] and commands.cancellable().exists()
        return super().render_change_form(request, context, *args, **kwargs)


def held_back(commands: CommandQuerySet) -> CommandQuerySet:
    """Those for which the button does something: they are cancelled, or not published again."""
    return commands.filter(status__in=UNHEARD, withdrawn_at=None)


def in_words(cancelled: int, commands: CommandQuerySet, missing: int = 0) -> str:
    """How many of `commands` were cancelled just now, and of the others, why not.

    `missing` were chosen as well and are not among `commands`.
    """
    counts = commands.order_by().aggregate(
        all=Count("pk"),
        held=Count("pk", filter=Q(status=CommandStatus.QUEUED)),
        sent=Count("pk", filter=Q(status__in=[CommandStatus.SENT, CommandStatus.ACKNOWLEDGED])),
    )
    sent, held = counts["sent"], counts["held"]
    ended = counts["all"] - held - sent - cancelled
    parts = [
        (ngettext("{count} was already sent", "{count} were already sent", sent), sent),
        (
            ngettext(
                "{count} is on its way to the broker",
                "{count} are on their way to the broker",
                held,
            ),
            held,
        ),
        (ngettext("{count} had ended before", "{count} had ended before", ended), ended),
        (
            ngettext(
                "{count} is not in this list any more",
                "{count} are not in this list any more",
                missing,
            ),
            missing,
        ),
    ]
    first = gettext("{count} cancelled").format(count=number(cancelled))
    others = [text.format(count=number(count)) for text, count in parts if count > 0]
    said = "; ".join([first, *others]) + "."
    return f"{said} {NOT_AGAIN}" if sent or held else said
