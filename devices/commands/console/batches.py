"""The console's pages of batches: how far the commands of each are, and taking back the rest."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.messages import SUCCESS, WARNING
from django.db.models import F, Func, IntegerField, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.admin import coloured, moment, person
from accounts.words import in_language, listed, number
from devices.commands.cancelling import cancel_batch
from devices.commands.console.cancelling import CancellableAdmin, in_words
from devices.commands.console.shown import in_a_row, pretty, status_label, when
from devices.commands.representation import progress_of
from devices.models import ENDED, Command, CommandBatch, CommandQuerySet

UIDS_IN_LIST = 3
UIDS_ON_PAGE = 50
SKIPPED_SHOWN = 200


def target_in_words(batch: CommandBatch, most: int) -> str:
    """What its devices were chosen by; of a list of devices the first `most`."""
    target = batch.target
    if labels := target.get("labels"):
        said = ", ".join(f"{key}={value}" for key, value in labels.items())
        return gettext("Devices with the labels {labels}").format(labels=said)
    if "device_uids" in target:
        return listed(target["device_uids"], most)
    return gettext("All devices of {tenant}").format(tenant=batch.tenant)


@admin.register(CommandBatch)
class CommandBatchAdmin(CancellableAdmin):
    list_display = ["command", "tenant", "target_in_brief", "total", "counts", "skipped_count",
                    "created_ago", "who"]  # fmt: skip
    list_filter = [("tenant", RelatedDropdownFilter)]
    list_select_related = ["tenant", "issued_by"]
    list_per_page = 20
    ordering = ["-created_at", "-id"]
    actions = None
    nothing_yet = _("An app sends a command to many devices by POST /commands of the API.")
    change_form_outer_before_template = "admin/devices/commandbatch/buttons.html"
    fieldsets = [
        (_("Status"), {"fields": ["total", "counts", "cancelled"]}),
        (_("Command"), {"fields": ["command", "params_text", "id", "who", "created", "expires"]}),
        (_("Devices"), {"fields": ["tenant", "target_text", "skipped_table"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CommandBatch]:
        length = Func(F("skipped"), function="jsonb_array_length", output_field=IntegerField())
        return super().get_queryset(request).annotate(skipped_length=length).defer("skipped")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        shown = super().get_changelist_instance(request)
        self._count(request, shown.result_list)
        return shown

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        batch = super().get_object(request, *args, **kwargs)
        self._count(request, [batch])
        return batch

    def _count(self, request: HttpRequest, batches: Iterable[Any]) -> None:
        found = progress_of([batch.pk for batch in batches], person(request))
        for batch in batches:
            batch.progress = found[batch.pk]
            counts = batch.progress["counts"]
            batch.is_open = any(counts[status] for status in counts if status not in ENDED)

    def commands_of(self, what: CommandBatch) -> CommandQuerySet:
        return Command.objects.filter(batch=what)

    def cancel_one(self, request: HttpRequest, what: CommandBatch) -> None:
        count = len(cancel_batch(what, person(request)))
        said = in_words(count, self.commands_of(what))
        self.log_change(request, what, f"Cancelled: {said}")
        self.message_user(request, said, SUCCESS if count else WARNING)

    @display(description=_("command"))
    def command(self, batch: CommandBatch) -> str:
        return batch.cmd

    @display(description=_("devices"))
    def target_in_brief(self, batch: CommandBatch) -> str:
        return target_in_words(batch, UIDS_IN_LIST)

    @display(description=_("chosen by"))
    def target_text(self, batch: CommandBatch) -> str:
        return target_in_words(batch, UIDS_ON_PAGE)

    @display(description=_("commands"))
    def total(self, batch: Any) -> str:
        return number(batch.progress["total"])

    @display(description=_("status"))
    def counts(self, batch: Any) -> SafeString:
        counts, late = batch.progress["counts"], batch.progress["late"]
        labels = [status_label(status, count) for status, count in counts.items() if count]
        if late:
            said = ngettext("{count} late reply", "{count} late replies", late)
            labels.append(coloured(said.format(count=number(late)), "warning"))
        return in_a_row(labels)

    @display(description=_("skipped"))
    def skipped_count(self, batch: Any) -> str:
        return number(batch.skipped_length)

    @display(description=_("skipped"))
    def skipped_table(self, batch: Any) -> SafeString | None:
        if not batch.skipped:
            return None
        hidden = len(batch.skipped) - SKIPPED_SHOWN
        rows = [
            (each["device_uid"], in_language(each["reason"]))
            for each in batch.skipped[:SKIPPED_SHOWN]
        ]
        context = {"rows": rows, "hidden": max(hidden, 0)}
        return render_to_string("admin/devices/commandbatch/skipped.html", context)

    @display(description=_("who asked"))
    def who(self, batch: CommandBatch) -> str | None:
        return batch.issued_by.email if batch.issued_by else None

    @display(description=_("params"))
    def params_text(self, batch: CommandBatch) -> SafeString:
        return pretty(batch.params)

    @display(description=_("created"))
    def created_ago(self, batch: CommandBatch) -> str:
        return moment(batch.created_at)

    @display(description=_("created"))
    def created(self, batch: CommandBatch) -> str | None:
        return when(batch.created_at)

    @display(description=_("expires"))
    def expires(self, batch: CommandBatch) -> str | None:
        return when(batch.expires_at)

    @display(description=_("cancelled"))
    def cancelled(self, batch: CommandBatch) -> str | None:
        return when(batch.cancelled_at)
