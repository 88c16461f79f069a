"""Devices that send over HTTP, for tests of the door."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.test import Client

from devices.models import Device
from tests import cast as people

Send = Callable[..., Any]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def send(uid: str, body: bytes | str, headers: dict[str, str] | None = None, **environ: Any) -> Any:
    """The answer to a message of the device; `environ` is the WSGI server's, as it makes it."""
    body = body.encode() if isinstance(body, str) else body
    told = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), **environ}
    client = Client(raise_request_exception=False, headers=headers)
    return client.generic("POST", f"/telemetry/{uid}", body, "application/json", **told)


def device(device: Device, **terms: Any) -> Send:
    """Sends messages of the device with a new token of its own."""
    headers = bearer(people.token(device, **terms))
    return lambda body, **environ: send(device.device_uid, body, headers, **environ)


def failing(error: Exception) -> Send:
    """Stands for a function in which the error occurs."""

    def fail(*args: Any, **options: Any) -> Any:
        raise error

    return fail
