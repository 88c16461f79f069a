"""The console's page “History”: who changed what, and when."""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts.admin import coloured, moment, person
from accounts.models import Change, User
from accounts.readonly import ReadOnlyAdmin, TimeRangeFilter
from accounts.templatetags.console import said as said_by

KINDS = {
    ADDITION: (_("Added"), "success"),
    CHANGE: (_("Changed"), "info"),
    DELETION: (_("Deleted"), "danger"),
}
LONGEST_SAID = 500
MOST_PEOPLE = 500
LINK = '<a class="font-semibold text-primary-600 dark:text-primary-500" href="{}">{}</a>'


class PersonFilter(DropdownFilter):
    """People that one sees; of platform staff, others than these see only that it was staff."""

    title = _("person")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        people = User.objects.visible_to(person(request)).order_by("email")
        return list(people.values_list("pk", "email")[:MOST_PEOPLE])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        chosen = [key for key, _name in self.lookup_choices if str(key) == self.value()]
        return queryset.filter(user__in=chosen) if chosen else queryset


class KindOfThingFilter(DropdownFilter):
    """What was changed: a device, a user and so on."""

    title = _("object")
    parameter_name = "object"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        models = [model for model in model_admin.admin_site._registry if model is not Change]
        types = ContentType.objects.get_for_models(*models, for_concrete_models=False)
        return sorted((kind.pk, capfirst(kind.name)) for kind in types.values())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        chosen = [key for key, _name in self.lookup_choices if str(key) == self.value()]
        return queryset.filter(content_type__in=chosen) if chosen else queryset


class ChangeAdmin(ReadOnlyAdmin):
    """All changes by people, newest first; those of one thing are on the thing's own page."""

    list_display = ["when", "who", "kind", "thing", "said"]
    list_display_links = None
    list_filter = [PersonFilter, KindOfThingFilter, ("action_time", TimeRangeFilter)]
    list_select_related = ["user", "content_type"]
    # The order of their times, by the primary key and by the index of Concern.
    ordering = ["-pk"]
    actions = None
    nothing_yet = _("What people add, change or delete is noted here.")

    def get_urls(self) -> list[URLPattern]:
        return [url for url in super().get_urls() if url.name == "accounts_change_changelist"]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = super().get_list_display(request)
        if person(request).is_superuser:
            return columns
        return ["who_of_tenant" if name == "who" else name for name in columns]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        is_time = lookup.startswith(("action_time_from_", "action_time_to_"))
        return is_time or lookup in (PersonFilter.parameter_name, KindOfThingFilter.parameter_name)

    @display(description=_("time"))
    def when(self, change: Change) -> SafeString | str:
        return moment(change.action_time)

    @display(description=_("person"))
    def who(self, change: Change) -> str:
        return change.user.email

    @display(description=_("person"))
    def who_of_tenant(self, change: Change) -> str:
        return str(_("Platform staff")) if change.user.is_superuser else change.user.email

    @display(description=_("change"))
    def kind(self, change: Change) -> SafeString:
        return coloured(*KINDS[change.action_flag])

    @display(description=_("object"))
    def thing(self, change: Change) -> SafeString:
        name = capfirst(change.content_type.name) if change.content_type else ""
        page = None if change.is_deletion() else change.get_admin_url()
        shown = format_html(LINK, page, change.object_repr) if page else None
        return format_html("{}: {}", name, shown or change.object_repr)

    @display(description=_("what"))
    def said(self, change: Change) -> str:
        return Truncator(said_by(change)).chars(LONGEST_SAID)
