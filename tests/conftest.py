"""What many tests share."""

from types import SimpleNamespace

import pytest

from tests import cast as people


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    return people.cast()
