"""The published OpenAPI document, made once."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def operations(*methods: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, operation) of all operations, or of those with one of `methods`."""
    for path, item in document()["paths"].items():
        for method in methods or METHODS:
            if method in item:
                yield path, item[method]


def schema_of(holder: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter or of content, found where it refers to."""
    schema: dict[str, Any] = holder["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return document()["components"]["schemas"][name] if name else schema
