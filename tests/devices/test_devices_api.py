"""Devices over the API: read, create, change, delete."""

import pytest

from devices.models import Device, DeviceType
from devices.serializers import DeviceSerializer
from tests.cast import api

DEVICES = "/devices"
DEV_01 = "/devices/dev-01"


def test_a_device_is_created_in_the_tenant_of_who_creates_it(cast):
    sent = {"device_uid": "roof.1", "name": "Roof", "labels": {"site": "Hanoi"}}
    answer = api(cast.operator).post(DEVICES, sent)
    assert answer.status_code == 201
    assert answer.json() | sent == answer.json()
    assert (answer.json()["tenant"], answer.json()["is_enabled"]) == ("t0", True)
    assert api(cast.operator).get(answer["Location"]).json() == answer.json()


def test_list_page_and_answer_are_one_representation(cast):
    app = api(cast.operator)
    created = app.post(DEVICES, {"device_uid": "dev-09"}).json()
    assert created in app.get(DEVICES).json()
    assert app.get("/devices/dev-09").json() == created
    assert list(created) == DeviceSerializer.Meta.fields


@pytest.mark.parametrize("uid", ["dev-01", "foreign-01"])
def test_a_uid_that_is_taken_by_whomever_is_a_conflict_that_tells_nothing(cast, uid):
    answer = api(cast.operator).post(DEVICES, {"device_uid": uid})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["detail"].startswith("This UID is taken, perhaps by a deleted device")


def test_what_is_sent_changes_and_nothing_else(cast):
    answer = api(cast.operator).patch(DEV_01, {"labels": {"site": "Hue"}})
    assert (answer.status_code, answer.json()["labels"]) == (200, {"site": "Hue"})
    assert answer.json()["name"] == "Device dev-01"


def test_a_device_gets_a_type_by_name(cast):
    DeviceType.objects.create(name="sensor", tenant=cast.t0)
    assert api(cast.operator).patch(DEV_01, {"type": "sensor"}).json()["type"] == "sensor"
    assert api(cast.operator).patch(DEV_01, {"type": None}).json()["type"] is None


def test_a_deleted_device_is_gone_and_keeps_its_uid(cast):
    app = api(cast.operator)
    assert app.delete(DEV_01).status_code == 204
    assert app.get(DEV_01).status_code == app.delete(DEV_01).status_code == 404
    assert app.post(DEVICES, {"device_uid": "dev-01"}).status_code == 409
    assert Device.objects.get(device_uid="dev-01").deleted_at
