"""Filters of lists, by django-filter, which refuses what it does not know."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from accounts.rest import require_once

PAGES = {"limit", "cursor", "format"}
"""Parameters of every list that are no filters; `format` belongs to the browsable API."""


class StrictFilterBackend(DjangoFilterBackend):
    """A parameter with a typing error would be ignored, and the list hold more than was meant.

    A view that is not in pages may name the parameters that are no filters in `other_parameters`.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        filterset = self.get_filterset_class(view, queryset)
        others = getattr(view, "other_parameters", PAGES)
        known = others | set(filterset.base_filters if filterset else ())
        if unknown := sorted(set(request.query_params) - known):
            possible = ", ".join(sorted(known - {"format"}))
            error = ErrorDetail(f"There is no such parameter. Possible: {possible}.", "unknown")
            raise ValidationError({name: [error] for name in unknown})
        # Optimization: the whole list is what is asked for most often.
        if PAGES.issuperset(request.query_params):
            return queryset
        for name, values in request.query_params.lists():
            if any("\0" in value for value in values):
                raise ValidationError({name: "Remove the character NUL."})
            given = filterset.base_filters.get(name) if filterset else None
            if not getattr(given, "is_repeatable", False):
                require_once(name, values)
        return super().filter_queryset(request, queryset, view)
