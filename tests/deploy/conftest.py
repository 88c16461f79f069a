"""Servers as `deploy/` sets them up, each for all tests of a file."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command

from tests import cast as people
from tests.deploy.tls import HOST, Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    made = certificates.make(HOST, "127.0.0.1")
    assert made.returncode == 0, made.stdout
    return certificates


@pytest.fixture(scope="module")
def cast_of_all(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """The cast, in the database for other processes to see, until the end of the file."""
    with django_db_blocker.unblock():
        yield people.cast()
        call_command("flush", verbosity=0, interactive=False)
