"""The console's pages of commands: what became of each, and taking them back."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, JSONObject, Left, NullIf
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.views import ChangeList

from accounts.admin import exact, moment, person
from accounts.readonly import FixedOrderChangeList, TimeRangeFilter
from accounts.words import in_language
from devices.commands.cancelling import AGAIN, why_not
from devices.commands.console.cancelling import CancellableAdmin, in_words
from devices.commands.console.shown import (
    found,
    in_brief,
    late_label,
    link,
    named_link,
    pretty,
    status_label,
    status_of,
    when,
)
from devices.commands.meanings import meaning_of
from devices.commands.reasons import REASON
from devices.commands.recorded import cancel_and_log
from devices.models import (
    ENDED,
    Command,
    CommandBatch,
    CommandQuerySet,
    CommandStatus,
    CommandTransition,
    Device,
)

OPEN = set(CommandStatus.values) - set(ENDED)
STEPS_SHOWN = 200
LONGEST_WHY = 120
PARTS = ("device", "batch")
FILTERS = (*PARTS, "open", "status__exact", "tenant__id__exact")


def in_a_table(commands: QuerySet[Any]) -> QuerySet[Any]:
    """Why each is not further, or failed, in the platform's words or else in the device's; and
    without what may be long, of which a table shows nothing more."""
    said = NullIf(Left("error", LONGEST_WHY + 1), Value(""))
    why = Coalesce(REASON, said, output_field=TextField())
    return commands.annotate(why=why).defer("result", "error")


def why_in_brief(command: Any) -> str:
    return Truncator(in_language(command.why or "")).chars(LONGEST_WHY)


def whole(number: int) -> Any:
    """A command and its last steps as they were at one moment, which takes a single statement."""
    steps = CommandTransition.objects.filter(command=OuterRef("pk")).order_by("-id")
    columns = JSONObject(status="status", at="at", by="by", detail="detail")
    last = ArraySubquery(steps.values(json=columns)[: STEPS_SHOWN + 1])
    related = Command.objects.select_related("device", "tenant", "issued_by", "batch")
    commands = related.defer("batch__params", "batch__target", "batch__skipped")
    return get_object_or_404(commands.annotate(why=REASON, last_steps=last), pk=number)


def steps_of(command: Any) -> list[tuple[SafeString, str, str, str]]:
    """Its last steps, as they are shown. What comes after its end is a late reply."""
    steps, has_ended = [], False
    for step in reversed(command.last_steps):
        label = late_label() if has_ended else status_label(step["status"])
        at = exact(datetime.fromisoformat(step["at"]))
        steps.append((label, at, step["by"], in_language(step["detail"])))
        has_ended = step["status"] in ENDED
    return steps[-STEPS_SHOWN:]


class CommandList(FixedOrderChangeList):
    """A list of all commands, or of those of the device or the batch that its address names.

    `CommandAdmin.changelist_view` has made sure that there is such a one.
    """

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Command]:
        named = {name: request.GET[name] for name in PARTS if request.GET.get(name)}
        return in_a_table(super().get_queryset(request, *args).filter(**named))


class PartFilter(admin.SimpleListFilter):
    """Takes its parameter out of those that are asked for; `CommandList` applies it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class DeviceFilter(PartFilter):
    title = _("device")
    parameter_name = "device"


class BatchFilter(PartFilter):
    title = _("batch")
    parameter_name = "batch"


class OpenFilter(RadioFilter):
    title = pgettext_lazy("commands", "open")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("true", gettext("Yes")), ("false", gettext("No"))]

    def queryset(self, request: HttpRequest, queryset: CommandQuerySet) -> CommandQuerySet:
        if self.value() == "true":
            return queryset.open()
        return queryset.exclude(finished_at=None) if self.value() == "false" else queryset


class StatusFilter(ChoicesDropdownFilter):
    def queryset(self, request: HttpRequest, queryset: CommandQuerySet) -> CommandQuerySet:
        found: CommandQuerySet = super().queryset(request, queryset)
        # Optimization: of these there are few, and an index.
        return found.open() if self.value() in OPEN else found


@admin.register(Command)
class CommandAdmin(CancellableAdmin):
    list_display = [
        "command", "to", "tenant", "params_in_brief", "status_label", "why", "created_ago",
        "finished_ago", "who",
    ]  # fmt: skip
    list_filter = [
        OpenFilter,
        ("status", StatusFilter),
        ("tenant", RelatedDropdownFilter),
        ("created_at", TimeRangeFilter),
        DeviceFilter,
        BatchFilter,
    ]
    list_select_related = ["device", "tenant", "issued_by"]
    list_before_template = "admin/devices/command/part.html"
    search_fields = ["device__device_uid", "id"]
    search_help_text = _("UID of a device or id of a command")
    ordering = ["-number"]
    list_per_page = 20
    nothing_yet = _("Send a command from the page of a device.")
    actions = ["cancel_selected"]
    change_form_outer_before_template = "admin/devices/command/buttons.html"
    fieldsets = [
        (_("Status"), {"fields": ["state", "why_not_further", "history"]}),
        (
            _("Command"),
            {"fields": ["to", "tenant", "command", "params_text", "id", "asked_by", "batch_link"]},
        ),
        (_("Reply"), {"fields": ["reply_text", "result_text", "error"]}),
        (
            _("Times"),
            {"fields": ["created", "expires", "claimed", "sent", "acknowledged", "finished"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Command]:
        # What may be long is read by whoever shows it.
        return super().get_queryset(request).defer("result", "error")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return whole(super().get_object(request, *args, **kwargs).pk)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CommandList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        devices = Device.objects.visible_to(person(request))
        batches = CommandBatch.objects.visible_to(person(request)).defer("target", "skipped")
        device = found(devices, request.GET.get("device"))
        batch = found(batches, request.GET.get("batch"))
        context = {
            "device": device,
            "device_link": device and named_link(device),
            "batch": batch,
            "batch_link": batch and link(batch),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # There is no index for whatever else could be asked.
        is_filter = lookup in FILTERS or lookup.startswith(("created_at_from_", "created_at_to_"))
        return is_filter and super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By a whole UID or a whole id, for which there are indexes."""
        if not (whole := search_term.strip()):
            return queryset, False
        if device := Device.objects.filter(device_uid=whole).first():
            return queryset.filter(device=device), False
        try:
            return queryset.filter(id=UUID(whole)), False
        except ValueError:
            return queryset.none(), False

    def commands_of(self, what: Command) -> CommandQuerySet:
        return Command.objects.filter(pk=what.pk)

    def cancel_one(self, request: HttpRequest, what: Command) -> None:
        if cancel_and_log(self.commands_of(what), person(request)):
            messages.success(request, gettext("Cancelled. The device will not get it."))
        else:
            what.refresh_from_db()
            messages.error(request, f"{gettext('Not cancelled.')} {why_not(what)}")

    @action(description=_("Cancel"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: CommandQuerySet) -> None:
        # By key: what is cancelled need not be in the list any more, as it is filtered.
        numbers = list(queryset.order_by().values_list("pk", flat=True))
        commands = Command.objects.filter(pk__in=numbers)
        count = cancel_and_log(commands, person(request))
        chosen = len(set(request.POST.getlist(ACTION_CHECKBOX_NAME)))
        is_all = 0 < count == max(chosen, len(numbers))
        said = in_words(count, commands, missing=chosen - len(numbers))
        self.message_user(request, said, messages.SUCCESS if is_all else messages.WARNING)

    @display(description=_("command"))
    def command(self, command: Command) -> str:
        return command.cmd

    @display(description=_("device"))
    def to(self, command: Command) -> SafeString:
        return link(command.device)

    @display(description=_("params"))
    def params_in_brief(self, command: Command) -> str | None:
        return in_brief(command.params) or None

    @display(description=_("status"))
    def status_label(self, command: Command) -> SafeString:
        return status_of(command)

    @display(description=_("why"))
    def why(self, command: Any) -> str | None:
        return why_in_brief(command) or None

    @display(description=_("created"))
    def created_ago(self, command: Command) -> str:
        return moment(command.created_at)

    @display(description=_("finished"))
    def finished_ago(self, command: Command) -> str | None:
        return moment(command.finished_at) if command.finished_at else None

    @display(description=_("who asked"))
    def who(self, command: Command) -> str | None:
        return command.issued_by.email if command.issued_by else None

    @display(description=_("who asked"))
    def asked_by(self, command: Any) -> str | None:
        # Of somebody at a terminal, and of who has no account any more, the first step knows.
        is_cut = len(command.last_steps) > STEPS_SHOWN
        first = None if is_cut or not command.last_steps else command.last_steps[-1]["by"]
        return self.who(command) or first or None

    @display(description=_("status"))
    def state(self, command: Command) -> SafeString:
        again = AGAIN if command.withdrawn_at and not command.finished_at else ""
        meaning = f"{meaning_of(command)} {again}"
        return format_html('{}<p class="mt-2">{}</p>', status_of(command), meaning)

    @display(description=_("why"))
    def why_not_further(self, command: Any) -> str | None:
        return in_language(command.why or "") or None

    @display(description=_("history"))
    def history(self, command: Any) -> SafeString:
        is_cut = len(command.last_steps) > STEPS_SHOWN
        context = {"steps": steps_of(command), "is_cut": is_cut}
        return render_to_string("admin/devices/command/history.html", context)

    @display(description=_("reply"))
    def reply_text(self, command: Command) -> str | None:
        return command.reply or None

    @display(description=_("params"))
    def params_text(self, command: Command) -> SafeString:
        return pretty(command.params)

    @display(description=_("result"))
    def result_text(self, command: Command) -> SafeString | None:
        return None if command.result is None else pretty(command.result)

    @display(description=_("batch"))
    def batch_link(self, command: Command) -> SafeString | None:
        return link(command.batch) if command.batch else None

    @display(description=_("created"))
    def created(self, command: Command) -> str | None:
        return when(command.created_at)

    @display(description=_("expires"))
    def expires(self, command: Command) -> str | None:
        return when(command.expires_at)

    @display(description=_("taken by a dispatcher"))
    def claimed(self, command: Command) -> str | None:
        return when(command.claimed_at)

    @display(description=_("sent"))
    def sent(self, command: Command) -> str | None:
        return when(command.sent_at)

    @display(description=_("acknowledged"))
    def acknowledged(self, command: Command) -> str | None:
        return when(command.acknowledged_at)

    @display(description=_("finished"))
    def finished(self, command: Command) -> str | None:
        return when(command.finished_at)
