"""What many tests share."""

import atexit
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.test import TransactionTestCase

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


@pytest.fixture
def no_streams_left() -> Iterator[None]:
    with streams_end():
        yield


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
