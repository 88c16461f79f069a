"""How the home page shows numbers and troubles."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from accounts.admin import moment
from accounts.words import number


class Card(NamedTuple):
    """A number with the list that it counts."""

    title: str | Promise
    value: str
    link: str


class Trouble(NamedTuple):
    """Something that wants attention: `kind` as a label of that colour, who or what, and why."""

    at: datetime
    kind: str | Promise
    colour: str
    subject: str | Promise
    detail: str | Promise
    link: str = ""

    @property
    def when(self) -> SafeString | str:
        return moment(self.at)


def counted(count: int, most: int) -> str:
    """A number that was counted up to `most`."""
    return f"{number(count)}+" if count >= most else number(count)


def list_of(model: str, **narrowed: Any) -> str:
    """The address of the console's list of a model, as “devices_device”."""
    page = reverse(f"admin:{model}_changelist")
    return f"{page}?{urlencode(narrowed)}" if narrowed else page


def page_of(model: str, key: Any) -> str:
    return reverse(f"admin:{model}_change", args=[key])


def named(parameters: Iterable[Any], prefix: str) -> dict[str, Any]:
    """Parameters of a statement by position, as ones with names."""
    return {f"{prefix}{place}": value for place, value in enumerate(parameters)}
