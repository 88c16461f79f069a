"""What tests of enrolment share: a platform where devices may enrol, and a key of `t0`."""

from types import SimpleNamespace
from typing import Any

import pytest

from devices.enrolment.keys import Made
from devices.models import DeviceType
from tests import cast as people

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def new_key(cast: SimpleNamespace, **fields: Any) -> Made:
    """A key for ten devices of `t0`, unless `fields` say otherwise."""
    return people.enrolment_key(by=cast.admin, **{"tenant": cast.t0} | fields)


def enroll(made: Made | str, uid: Any = "dev-77", address: str = HOME, **more: Any) -> Any:
    """The answer to a device that shows a key."""
    body = {"key": made if isinstance(made, str) else made.secret, "device_uid": uid, **more}
    return people.api(None).post("/enroll", body, REMOTE_ADDR=address)


@pytest.fixture
def world(cast: SimpleNamespace, settings: Any) -> SimpleNamespace:
    """The cast, with a type and a key for it."""
    settings.ENROLMENT, settings.AUTO_REGISTER = True, False
    cast.kind = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    cast.made = new_key(cast, type=cast.kind)
    return cast
