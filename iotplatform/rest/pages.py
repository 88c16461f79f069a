"""Long lists in pages: `limit` and an opaque `cursor`, the way on in `Link` headers (RFC 8288)."""

import re
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.db.models import Q
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

LIMIT = 1_000
LARGEST_LIMIT = 10_000
ALWAYS_WHOLE = 100
"""Rows of a page that is never cut, however large they are."""
LARGEST_PAGE = 16 * 1024 * 1024
"""Characters of JSON beyond which a longer page is cut, where rows can be large."""
FETCHED = 100
"""Rows that are in memory before their size is known."""
LIMIT_PATTERN = re.compile(r"[1-9][0-9]{0,4}")


@cache
def signer() -> signing.Signer:
    return signing.Signer(salt="cursor")


class Cursor(NamedTuple):
    """A place in a list that is in `order`: just after a row with `values`, or just before it."""

    order: list[str]
    values: list[Any]
    backwards: bool

    def encode(self) -> str:
        # Signed, so that a request brings no value that did not come out of the database.
        values = [plain(value) for value in self.values]
        return signer().sign_object([self.order, values, self.backwards])

    @classmethod
    def at(cls, row: Any, order: list[str], *, backwards: bool = False) -> "Cursor":
        return cls(order, [attrgetter(name)(row) for name in names(order)], backwards)

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        try:
            return cls(*signer().unsign_object(text))
        except signing.BadSignature as error:
            advice = "Take the cursor, whole, from a Link header, or leave it out to start again."
            raise ValidationError({"cursor": advice}) from error


def plain(value: Any) -> Any:
    """A value as JSON can keep it; a queryset's filter understands it as well."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def names(order: list[str]) -> list[str]:
    return [name.removeprefix("-") for name in order]


def reverse(order: list[str]) -> list[str]:
    return [name[1:] if name.startswith("-") else f"-{name}" for name in order]


def beyond(order: list[str], values: list[Any]) -> Q:
    """The rows that come after one with `values` where rows are in `order`."""
    fields = names(order)
    steps = ["lt" if name.startswith("-") else "gt" for name in order]
    after = Q()
    for number, value in enumerate(values):
        same = dict(zip(fields[:number], values, strict=False))
        after |= Q(**same, **{f"{fields[number]}__{steps[number]}": value})
    # Follows from the rest, but only a plain bound lets an index, or partitions, be skipped.
    return Q(**{f"{fields[0]}__{steps[0]}e": values[0]}) & after


def until_large(queryset: Any) -> tuple[list[Any], bool]:
    """The rows until there are LARGEST_PAGE characters of JSON, and whether there are more."""
    rows: list[Any] = []
    characters = 0
    with transaction.atomic():
        for row in queryset.iterator(chunk_size=FETCHED):
            if characters >= LARGEST_PAGE:
                return rows, True
            rows.append(row)
            characters += len(row.json)
    return rows, False


class KeysetPagination(BasePagination):
    """Pages of a queryset in its own order, which has to be total and free of null.

    A page begins where the one before ended, whatever was added meanwhile, and costs the same
    however far back it is. Of a queryset with an annotation `json` nothing else is read. A view may
    set `page_limit`, the number of rows when none is asked for, and `has_large_rows`, so that a
    long page is cut before it fills the memory.

    A view that reads its rows itself calls `begin`, reads `limit` + 1 rows on from `cursor` in
    `direction`, and gives them to `end`.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        order = list(queryset.query.order_by) or list(queryset.model._meta.ordering)
        self.begin(request, order, getattr(view, "page_limit", LIMIT))
        if self.cursor:
            queryset = queryset.order_by(*self.direction)
            queryset = queryset.filter(beyond(self.direction, self.cursor.values))
        if "json" in queryset.query.annotations:
            queryset = queryset.values_list("json", *names(order), named=True)
        queryset = queryset[: self.limit + 1]
        if self.limit > ALWAYS_WHOLE and getattr(view, "has_large_rows", False):
            rows, is_cut = until_large(queryset)
            return self.end(rows, is_cut=is_cut)
        return self.end(list(queryset))

    def begin(self, request: Request, order: list[str], limit: int = LIMIT) -> None:
        """Reads what page is wanted of a list in `order`; ValidationError if that is unclear."""
        self.request = request
        self.order = order
        self.limit = self._limit(limit)
        self.cursor = self._cursor()
        self.is_backwards = bool(self.cursor and self.cursor.backwards)
        self.direction = reverse(order) if self.is_backwards else order

    def _limit(self, default: int) -> int:
        text = self.request.query_params.get("limit", "")
        if not text:
            return default
        if LIMIT_PATTERN.fullmatch(text) and int(text) <= LARGEST_LIMIT:
            return int(text)
        raise ValidationError({"limit": f"Use a number from 1 to {LARGEST_LIMIT}."})

    def _cursor(self) -> Cursor | None:
        text = self.request.query_params.get("cursor", "")
        if not text:
            return None
        cursor = Cursor.decode(text)
        if cursor.order != self.order:
            advice = "It belongs to another order. Leave it out to start again in this one."
            raise ValidationError({"cursor": advice})
        return cursor

    def end(self, rows: list[Any], *, is_cut: bool = False) -> list[Any]:
        """The page, in the list's own order; notes where the pages around it are.

        With `is_cut` there are more rows than these, though they are no more than `limit`.
        """
        has_more, rows = is_cut or len(rows) > self.limit, rows[: self.limit]
        if self.is_backwards:
            rows.reverse()
        url = self.request.build_absolute_uri()
        self.links = {"first": remove_query_param(url, "cursor")} if self.cursor else {}
        if rows and (has_more or self.is_backwards):
            cursor = Cursor.at(rows[-1], self.order)
            self.links["next"] = replace_query_param(url, "cursor", cursor.encode())
        if rows and self.cursor and (has_more or not self.is_backwards):
            cursor = Cursor.at(rows[0], self.order, backwards=True)
            self.links["prev"] = replace_query_param(url, "cursor", cursor.encode())
        return rows

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
