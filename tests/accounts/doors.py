"""Knocking at the doors of the API."""

from typing import Any

from tests import cast as people


def log_in(
    email: str, password: str = people.PASSWORD, path: str = "/auth/login", **headers: Any
) -> Any:
    """The answer to an attempt to log in; `headers` may say from where (REMOTE_ADDR)."""
    return people.api(None).post(path, {"email": email, "password": password}, **headers)


def with_token(token: str, scheme: str = "Bearer") -> Any:
    """An app that has this access token."""
    client = people.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {token}")
    return client
