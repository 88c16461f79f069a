"""What many tests share."""

import atexit
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases

from devices.credentials.uses import uses
from tests import cast as people
from tests.emptying import empty_tables
from tests.streams import streams_end

# Its thread would write in the middle of some other test, and at the end the database is gone.
uses._every = threading.TIMEOUT_MAX
atexit.unregister(uses.end)
# Optimization: a static file is looked for when it is asked for. Without DEBUG, each client that a
# test makes would list all of them first: 30 ms, several thousand times.
settings.WHITENOISE_AUTOREFRESH = True
TransactionTestCase._fixture_teardown = empty_tables


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any
) -> Iterator[None]:
    """The database, for whoever asks. That of pytest-django is made only if a test says that it
    needs one: where a fixture of a whole file does, its tests could not be run by themselves."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def no_streams_left() -> Iterator[None]:
    with streams_end():
        yield


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
