"""Knocking at the doors of the API."""

from typing import Any

from accounts.fields import SentOnly
from tests import cast as people

DOTTED = 10 * "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
# Each of its letters becomes two when an address is kept, which has 254 at most.
JUST_FITS = f"a@{'.'.join(10 * [DOTTED])}.example"
TOO_LONG_TO_KEEP = f"a@{'.'.join(20 * [DOTTED])}.example"


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


def deleted_meanwhile(rows: Any, monkeypatch: Any) -> None:
    """Somebody deletes `rows` between the look at them and a change of them."""
    update = SentOnly.update

    def late(self: Any, instance: Any, validated_data: Any) -> Any:
        rows.delete()
        return update(self, instance, validated_data)

    monkeypatch.setattr(SentOnly, "update", late)
