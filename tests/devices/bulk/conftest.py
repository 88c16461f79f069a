"""Sending files of devices and getting them back."""

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import User
from devices.models import DeviceType
from tests import cast as people


@pytest.fixture
def types(cast: SimpleNamespace) -> SimpleNamespace:
    """A type of each tenant and one that is shared."""
    make = DeviceType.objects.create
    return SimpleNamespace(
        own=make(tenant=cast.t0, name="boiler"),
        foreign=make(tenant=cast.other, name="turbine"),
        shared=make(tenant=None, name="thermometer"),
    )


def send(user: User | None, file: str | bytes | list[Any], **query: Any) -> Any:
    """The answer to a file: CSV if it is a text, JSON if it is a list."""
    address = "/import/devices"
    parameters = "&".join(f"{name}={value}" for name, value in query.items())
    client = people.api(user)
    if isinstance(file, list):
        return client.post(f"{address}?{parameters}", file, format="json")
    return client.generic("POST", f"{address}?{parameters}", file, content_type="text/csv")


def rows(answer: Any) -> list[tuple[int, str, str]]:
    """Line, uid and outcome of each row in an answer."""
    report = answer.json().get("report", answer.json())
    return [(row["line"], row["device_uid"], row["outcome"]) for row in report["rows"]]


def faults(answer: Any) -> list[tuple[str, str]]:
    """Line and field, and what is said of it, for each fault in a refusal."""
    assert answer.status_code == 400, answer.content
    return [(fault["field"], fault["detail"]) for fault in answer.json()["errors"]]


def exported(user: User, **query: Any) -> bytes:
    answer = people.api(user).get("/export/devices", query)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)
