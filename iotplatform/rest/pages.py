"""Long lists in pages: `limit` and an opaque `cursor`, the way on in `Link` headers (RFC 8288)."""

from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.core import signing
from django.db.models import Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

LIMIT = 1_000
LARGEST_LIMIT = 10_000
SALT = "cursor"


class Cursor(NamedTuple):
    """A place in a list that is in `order`: just after a row with `values`, or just before it."""

    order: list[str]
    values: list[Any]
    backwards: bool

    def encode(self) -> str:
        # Signed, so that a request brings no value that did not come out of the database.
        values = [plain(value) for value in self.values]
        return signing.dumps([self.order, values, self.backwards], salt=SALT)

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        try:
            return cls(*signing.loads(text, salt=SALT))
        except signing.BadSignature as error:
            advice = "Take the cursor, whole, from a Link header, or leave it out to start again."
            raise ValidationError({"cursor": advice}) from error


def plain(value: Any) -> Any:
    """A value as JSON can keep it; a queryset's filter understands it as well."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def reverse(order: list[str]) -> list[str]:
    return [name[1:] if name.startswith("-") else f"-{name}" for name in order]


def beyond(order: list[str], values: list[Any]) -> Q:
    """The rows that come after one with `values` where rows are in `order`."""
    names = [name.removeprefix("-") for name in order]
    steps = ["lt" if name.startswith("-") else "gt" for name in order]
    after = Q()
    for number, value in enumerate(values):
        same = dict(zip(names[:number], values, strict=False))
        after |= Q(**same, **{f"{names[number]}__{steps[number]}": value})
    # Follows from the rest, but only a plain bound lets an index, or partitions, be skipped.
    return Q(**{f"{names[0]}__{steps[0]}e": values[0]}) & after


class KeysetPagination(BasePagination):
    """Pages of a queryset in its own order, which has to be total and free of null.

    A page begins where the one before ended, whatever was added meanwhile, and costs the same
    however far back it is. Of a queryset with an annotation `json` nothing else is read. A view may
    set `page_limit`, the number of rows when none is asked for.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        order = [str(name) for name in queryset.query.order_by]
        if not order:
            order = list(queryset.model._meta.ordering)
        limit = self._limit(getattr(view, "page_limit", LIMIT))
        cursor = self._cursor(order)
        rows = list(self._rows(queryset, order, cursor)[: limit + 1])
        has_more = len(rows) > limit
        rows = rows[:limit]
        if cursor and cursor.backwards:
            rows.reverse()
        self.links = self._links(rows, order, cursor, has_more)
        return rows

    def _limit(self, default: int) -> int:
        text = self.request.query_params.get("limit", "")
        if not text:
            return default
        if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_LIMIT:
            return int(text)
        raise ValidationError({"limit": f"Use a number from 1 to {LARGEST_LIMIT}."})

    def _cursor(self, order: list[str]) -> Cursor | None:
        text = self.request.query_params.get("cursor", "")
        if not text:
            return None
        cursor = Cursor.decode(text)
        if cursor.order != order:
            advice = "It belongs to another order. Leave it out to start again in this one."
            raise ValidationError({"cursor": advice})
        return cursor

    def _rows(
        self, queryset: QuerySet[Any], order: list[str], cursor: Cursor | None
    ) -> QuerySet[Any]:
        if cursor:
            direction = reverse(order) if cursor.backwards else order
            queryset = queryset.order_by(*direction).filter(beyond(direction, cursor.values))
        if "json" in queryset.query.annotations:
            names = [name.removeprefix("-") for name in order]
            return queryset.values_list("json", *names, named=True)
        return queryset

    def _links(
        self, rows: list[Any], order: list[str], cursor: Cursor | None, has_more: bool
    ) -> dict[str, str]:
        """What `Link` says: relation → address."""
        url = self.request.build_absolute_uri()
        links = {"first": remove_query_param(url, "cursor")} if cursor else {}
        if rows and (has_more or (cursor and cursor.backwards)):
            links["next"] = replace_query_param(url, "cursor", at(rows[-1], order, False))
        if rows and cursor and (has_more or not cursor.backwards):
            links["prev"] = replace_query_param(url, "cursor", at(rows[0], order, True))
        return links

    def get_paginated_response(self, data: Any) -> Response:
        link = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in self.links.items())
        return Response(data, headers={"Link": link} if link else None)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}
        default = getattr(view, "page_limit", LIMIT)
        return [
            {
                "name": "limit",
                "in": "query",
                "description": "How many at a time.",
                "schema": {**limit, "default": default},
            },
            {
                "name": "cursor",
                "in": "query",
                "description": "The way on, as the `Link` header of the page before gives it.",
                "schema": {"type": "string"},
            },
        ]


def at(row: Any, order: list[str], backwards: bool) -> str:
    """The cursor for what comes after `row`, or before it."""
    values = [attrgetter(name.removeprefix("-"))(row) for name in order]
    return Cursor(order, values, backwards).encode()
