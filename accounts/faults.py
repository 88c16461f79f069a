"""Errors of requests, as all applications tell them."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ErrorDetail

from accounts.words import number

NON_FIELD = "non_field_errors"


class TooLarge(APIException):
    """A body, or a file, of more bytes than are taken."""

    status_code = 413
    default_code = "too_large"

    def __init__(self, largest: int) -> None:
        said = _("The body has more than {largest} bytes. Send less at a time.")
        super().__init__(said.format(largest=number(largest)))


def faults_in(detail: Any, field: str = "") -> Iterator[tuple[str, ErrorDetail]]:
    """Each fault in a ValidationError's `detail` with the path of its field.

    As in `labels.site` or `3.name`; `field` is the path so far.
    """
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from faults_in(inner, field if name == NON_FIELD else f"{field}.{name}")
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            is_text = isinstance(inner, ErrorDetail)
            yield from faults_in(inner, field if is_text else f"{field}.{number}")
    else:
        yield field.removeprefix("."), detail
