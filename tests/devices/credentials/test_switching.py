"""Who is told that a device was enabled, disabled or deleted; and nobody else, for it may end a
session."""

import pytest

from devices.bulk.files import Row
from devices.bulk.upsert import import_devices
from devices.models import BrokerChange, Device
from tests import cast as people


@pytest.fixture
def cast(cast, settings):
    """With a gateway that speaks for `dev-01`."""
    settings.MQTT_ACCESS = "emqx"
    cast.gateway = people.device("gateway-1", cast.t0)
    people.token(cast.gateway, gateway_for=[cast.device])
    return cast


def noted() -> list[str]:
    return list(BrokerChange.objects.order_by("device_uid").values_list("device_uid", flat=True))


def imported(cast, **devices: dict) -> None:
    rows = [{"device_uid": uid.replace("_", "-"), **more} for uid, more in devices.items()]
    numbered = [Row(line, fields) for line, fields in enumerate(rows, 1)]
    assert not import_devices(cast.operator, numbered, is_dry_run=False).has_errors


def switched_in_console(cast, **sent) -> None:
    address = f"/admin/devices/device/{cast.device.pk}/change/"
    form = {"name": "Roof", "labels": "{}", **sent}
    assert people.console(cast.operator).post(address, form).status_code == 302


DISABLED = {
    "the API": lambda cast: people.api(cast.operator).patch(
        "/devices/dev-01", {"is_enabled": False}
    ),
    "a file": lambda cast: imported(cast, dev_01={"is_enabled": False}),
    "the console": switched_in_console,
    "its deletion": lambda cast: people.api(cast.operator).delete("/devices/dev-01"),
}
STILL_ENABLED = {
    "the API": lambda cast: people.api(cast.operator).patch(
        "/devices/dev-01", {"is_enabled": True, "name": "Roof"}
    ),
    "a file": lambda cast: imported(cast, dev_01={"is_enabled": True, "name": "Roof"}),
    "the console": lambda cast: switched_in_console(cast, is_enabled="on"),
}


@pytest.mark.parametrize("disable", DISABLED.values(), ids=DISABLED)
def test_of_a_device_that_is_disabled_its_gateway_is_told_too(cast, disable):
    disable(cast)
    assert not Device.objects.get(pk=cast.device.pk).is_enabled
    assert noted() == ["dev-01", "gateway-1"]


@pytest.mark.parametrize("change", STILL_ENABLED.values(), ids=STILL_ENABLED)
def test_of_one_that_is_as_it_was_nobody_is_told(cast, change):
    change(cast)
    assert Device.objects.get(pk=cast.device.pk).name == "Roof"
    assert noted() == []


def test_of_a_file_only_those_are_told_that_were_switched(cast):
    for uid in ("dev-02", "dev-03"):
        people.device(uid, cast.t0)
    imported(cast, dev_02={"is_enabled": False}, dev_03={"name": "Roof"}, new_1={"name": "New"})
    assert noted() == ["dev-02"]


def test_a_new_or_revoked_token_of_a_device_is_nothing_to_its_gateway(cast):
    people.token(cast.device)
    people.token(cast.device)
    assert noted() == ["dev-01"]
