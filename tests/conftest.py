"""What many tests share."""

import atexit
import threading
from types import SimpleNamespace

import pytest

from devices.credentials.uses import uses
from tests import cast as people

# Its thread would write in the middle of some other test, and at the end the database is gone.
uses._every = threading.TIMEOUT_MAX
atexit.unregister(uses.end)


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
