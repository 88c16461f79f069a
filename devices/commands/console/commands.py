"""The console's pages of commands: what became of each, and taking them back."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RadioFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.views import ChangeList

from accounts.admin import exact, moment, person
from accounts.readonly import FixedOrderChangeList, TimeRangeFilter
from devices.commands.cancelling import why_not
from devices.commands.console.cancelling import CancellableAdmin, cancel_and_log, in_words
from devices.commands.console.shown import (
    found,
    in_brief,
    link,
    once,
    page_of,
    pretty,
    status_label,
    status_of,
    when,
)
from devices.models import ENDED, Command, CommandBatch, CommandQuerySet, CommandStatus, Device

MEANINGS = {
    CommandStatus.QUEUED: "It waits to be published.",
    CommandStatus.SENT: "The broker has it. The device has said nothing about it yet.",
    CommandStatus.ACKNOWLEDGED: "The device has it and has not said yet how it ended.",
    CommandStatus.SUCCEEDED: "The device has done it.",
    CommandStatus.FAILED: "The device could not do it.",
    CommandStatus.EXPIRED: "Its time was over before the device said how it ended.",
    CommandStatus.CANCELLED: "It was taken back before it was sent.",
}
OPEN = set(CommandStatus.values) - set(ENDED)
NEWEST = 5
STEPS_SHOWN = 200
PARTS = ("device", "batch")
FILTERS = (*PARTS, "state", "status__exact", "tenant__id__exact")


def newest(device: Device) -> SafeString:
    """A table of the newest commands to a device, for its page."""
    commands = Command.objects.filter(device=device).defer("result", "error")[:NEWEST]
    shown = once(device, "newest_commands", commands)
    rows = [
        {
            "page": page_of(command),
            "command": command,
            "params": in_brief(command.params),
            "status": status_of(command),
            "created": moment(command.created_at),
        }
        for command in shown
    ]
    return render_to_string("admin/devices/device/commands.html", {"rows": rows})


class CommandList(FixedOrderChangeList):
    """A list of all commands, or of those of the device or the batch that its address names.

    `CommandAdmin.changelist_view` has made sure that there is such a one.
    """

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Command]:
        named = {name: request.GET[name] for name in PARTS if request.GET.get(name)}
        commands: QuerySet[Command] = super().get_queryset(request, *args).filter(**named)
        return commands


class PartFilter(admin.SimpleListFilter):
    """Takes its parameter out of those that are asked for; `CommandList` applies it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class DeviceFilter(PartFilter):
    title = parameter_name = "device"


class BatchFilter(PartFilter):
    title = parameter_name = "batch"


class OpenFilter(RadioFilter):
    title = "end"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("ended", "Ended")]

    def queryset(self, request: HttpRequest, queryset: CommandQuerySet) -> CommandQuerySet:
        if self.value() == "open":
            return queryset.open()
        return queryset.exclude(finished_at=None) if self.value() == "ended" else queryset


class StatusFilter(ChoicesDropdownFilter):
    def queryset(self, request: HttpRequest, queryset: CommandQuerySet) -> CommandQuerySet:
        found: CommandQuerySet = super().queryset(request, queryset)
        # Optimization: of these there are few, and an index.
        return found.open() if self.value() in OPEN else found


@admin.register(Command)
class CommandAdmin(CancellableAdmin):
    list_display = [
        "cmd", "to", "tenant", "params_in_brief", "status_label", "reason", "created", "finished",
        "who",
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
    search_help_text = "UID of a device or id of a command"
    ordering = ["-number"]
    actions = ["cancel_selected"]
    change_form_outer_before_template = "admin/devices/command/buttons.html"
    fieldsets = [
        ("State", {"fields": ["state", "reason", "history"]}),
        (
            "Command",
            {"fields": ["to", "tenant", "cmd", "params_text", "id", "who", "batch_link"]},
        ),
        ("Reply", {"fields": ["reply", "result_text", "error"]}),
        (
            "Times",
            {"fields": ["created", "expires", "claimed", "sent", "acknowledged", "finished"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Command]:
        # A page of the list would read fifty of them and show none.
        return super().get_queryset(request).defer("result", "error")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CommandList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        devices = Device.objects.visible_to(person(request))
        batches = CommandBatch.objects.visible_to(person(request)).defer("target", "skipped")
        context = {
            "device": found(devices, request.GET.get("device")),
            "batch": found(batches, request.GET.get("batch")),
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
            messages.success(request, "Cancelled. The device will not get it.")
        else:
            what.refresh_from_db()
            messages.error(request, f"Not cancelled. {why_not(what)}")

    @action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: CommandQuerySet) -> None:
        # By key: what is cancelled need not be in the list any more, as it is filtered.
        numbers = list(queryset.order_by().values_list("pk", flat=True))
        commands = Command.objects.filter(pk__in=numbers)
        count = cancel_and_log(commands, person(request))
        level = messages.SUCCESS if count == len(numbers) else messages.WARNING
        self.message_user(request, in_words(count, commands), level)

    @display(description="device")
    def to(self, command: Command) -> SafeString:
        return link(command.device)

    @display(description="params")
    def params_in_brief(self, command: Command) -> str:
        return in_brief(command.params)

    @display(description="status")
    def status_label(self, command: Command) -> SafeString:
        return status_of(command)

    @display(description="who asked")
    def who(self, command: Command) -> str | None:
        return command.issued_by.email if command.issued_by else None

    @display(description="status")
    def state(self, command: Command) -> SafeString:
        meaning = MEANINGS[CommandStatus(command.status)]
        return format_html('{}<p class="mt-2">{}</p>', status_of(command), meaning)

    @display(description="history")
    def history(self, command: Command) -> SafeString:
        newest_first = command.transitions.order_by("-id")
        last = once(command, "last_steps", newest_first[: STEPS_SHOWN + 1])
        steps = [(status_label(step.status), exact(step.at), step.by, step.detail) for step in last]
        context = {"steps": steps[:STEPS_SHOWN][::-1], "is_cut": len(steps) > STEPS_SHOWN}
        return render_to_string("admin/devices/command/history.html", context)

    @display(description="params")
    def params_text(self, command: Command) -> SafeString:
        return pretty(command.params)

    @display(description="result")
    def result_text(self, command: Command) -> SafeString | None:
        return None if command.result is None else pretty(command.result)

    @display(description="batch")
    def batch_link(self, command: Command) -> SafeString | None:
        return link(command.batch) if command.batch else None

    @display(description="created")
    def created(self, command: Command) -> str | None:
        return when(command.created_at)

    @display(description="expires")
    def expires(self, command: Command) -> str | None:
        return when(command.expires_at)

    @display(description="taken by a dispatcher")
    def claimed(self, command: Command) -> str | None:
        return when(command.claimed_at)

    @display(description="sent")
    def sent(self, command: Command) -> str | None:
        return when(command.sent_at)

    @display(description="acknowledged")
    def acknowledged(self, command: Command) -> str | None:
        return when(command.acknowledged_at)

    @display(description="finished")
    def finished(self, command: Command) -> str | None:
        return when(command.finished_at)
