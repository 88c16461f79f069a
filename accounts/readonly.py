"""What pages of long tables have in common that nobody edits by hand."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext
from unfold import paginator
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.views import ChangeList

from accounts.admin import TenantScopedAdmin

DEEPEST_PAGE = 100


class InfinitePaginator(paginator.InfinitePaginator):
    """Pages of a table too large to count, as far back as skipping rows (OFFSET) stays cheap.

    Unfold leaves the count out of the page for a class of this name.
    """

    template_name = "admin/uncounted_pagination.html"

    @cached_property
    def count(self) -> int:
        return self.per_page * DEEPEST_PAGE


class FixedOrderChangeList(ChangeList):
    """A list in the order that an index serves, whatever order the address asks for."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return list(self.model_admin.ordering)


class ReadOnlyAdmin(TenantScopedAdmin):
    """Pages of rows that are what happened: nobody adds, changes or deletes them by hand."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_disable_select_all = True
    sortable_by: tuple[str, ...] = ()
    # On a phone, where a row is as high as it has cells, these are left out (console.css).
    empty_value_display = '<span class="console-none">-</span>'
    nothing_yet: str | Promise = ""
    """What an empty list says of how rows come into being."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FixedOrderChangeList

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(chosen)
        except ValidationError as error:
            raise BadRequest(gettext("A chosen row has an id that is none.")) from error
        return super().response_action(request, queryset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TimeRangeFilter(RangeDateTimeFilter):
    """From and to; a day without a time of day means the whole day."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for end, time in (("from", "00:00:00"), ("to", "23:59:59.999999")):
            day, clock = (f"{self.parameter_name}_{end}_{part}" for part in (0, 1))
            if self.used_parameters.get(day) and not self.used_parameters.get(clock):
                self.used_parameters[clock] = time

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.parameter_name
        form = self.form_class(name=name, data=self.used_parameters)
        if not form.is_valid():
            messages.error(request, gettext("Write days as 2026-01-31 and times as 13:45."))
        ends = {
            "gte": form.cleaned_data.get(f"{name}_from"),
            "lte": form.cleaned_data.get(f"{name}_to"),
        }
        return queryset.filter(**{f"{name}__{end}": at for end, at in ends.items() if at})
