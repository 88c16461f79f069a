"""What tests of accounts share: somebody with a password, and passwords that cost no time."""

from types import SimpleNamespace

import pytest

from accounts.models import User
from tests import cast as people


@pytest.fixture
def fast_hashing(settings) -> None:
    """For tests that are about something else: argon2 takes a tenth of a second each time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ann(fast_hashing: None, cast: SimpleNamespace) -> User:
    """A viewer of t0 who can log in."""
    return people.user("ann@t0.example", cast.t0, password=people.PASSWORD)
