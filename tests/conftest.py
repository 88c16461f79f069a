"""What many tests share."""

import atexit
from types import SimpleNamespace

import pytest

from devices.credentials.uses import uses
from tests import cast as people

# By then the database of the tests is gone.
atexit.unregister(uses.end)


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
