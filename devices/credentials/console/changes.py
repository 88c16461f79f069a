"""The console's page of what the broker has still to be told, and why it is not told yet."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import moment
from accounts.readonly import ReadOnlyAdmin
from accounts.words import in_language
from devices.commands.console.shown import when
from devices.models import BrokerChange


@admin.register(BrokerChange)
class BrokerChangeAdmin(ReadOnlyAdmin):
    list_display = ["device_uid", "tenant", "noted", "attempts", "next_attempt", "why"]
    list_filter = [("tenant", RelatedDropdownFilter)]
    list_select_related = ["tenant"]
    search_fields = ["=device_uid"]
    ordering = ["-attempts", "device_uid"]
    actions = None
    nothing_yet = _("The broker knows all that there is to know.")
    # Never the token, which is there in plain text.
    fieldsets = [
        (None, {"fields": ["device_uid", "tenant", "since", "attempts", "due", "why"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("token")

    @display(description=_("waiting since"))
    def noted(self, change: BrokerChange) -> str:
        return moment(change.noted_at)

    @display(description=_("next attempt"))
    def next_attempt(self, change: BrokerChange) -> str:
        return moment(change.due_at)

    @display(description=_("waiting since"))
    def since(self, change: BrokerChange) -> str | None:
        return when(change.noted_at)

    @display(description=_("next attempt"))
    def due(self, change: BrokerChange) -> str | None:
        return when(change.due_at)

    @display(description=_("what went wrong"))
    def why(self, change: BrokerChange) -> str | None:
        return in_language(change.error) or None
