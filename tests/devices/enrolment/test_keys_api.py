"""Enrolment keys over the API: made, read, changed and revoked by admins, and never shown again."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from devices.credentials.tokens import digest_of
from devices.enrolment.keys import KeyState, in_state, revoke, state_of
from devices.models import Device, DeviceType, EnrolmentKey
from tests.cast import api
from tests.devices.enrolment.conftest import enroll, new_key

NEW = {"name": "Factory, lot 8", "quota": 500, "expires_at": "2999-01-01T00:00:00Z"}


def made(user, **fields):
    return api(user).post("/enrolment-keys", NEW | fields)


def at(key) -> str:
    return f"/enrolment-keys/{key.pk}"


# To make one -------------------------------------------------------------------------------------


def test_a_key_is_in_the_answer_that_made_it(world):
    answer = made(world.admin, type="sensor")
    said = answer.json()
    key = EnrolmentKey.objects.get(pk=said["id"])
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert answer["Location"] == f"http://testserver/enrolment-keys/{key.pk}"
    assert bytes(key.digest) == digest_of(said.pop("key"))
    assert said == {
        "id": key.pk,
        "name": "Factory, lot 8",
        "tenant": "t0",
        "type": "sensor",
        "state": "usable",
        "quota": 500,
        "uses": 0,
        "created_at": said["created_at"],
        "created_by": world.admin.email,
        "expires_at": "2999-01-01T00:00:00Z",
        "revoked_at": None,
    }


def test_a_device_enrols_with_it(world):
    assert enroll(made(world.admin).json()["key"]).status_code == 201


def test_it_is_in_no_other_answer_nor_is_what_is_kept_of_it(world):
    said = made(world.admin).json()
    client, address = api(world.admin), f"/enrolment-keys/{said['id']}"
    answers = [
        client.get("/enrolment-keys"),
        client.get(address),
        client.patch(address, {"name": "new"}),
        client.delete(address),
        client.options(address),
    ]
    for answer in answers:
        assert said["key"] not in answer.text
        assert digest_of(said["key"]).hex() not in answer.text
        assert "digest" not in answer.text


def test_the_history_tells_who_did_what_and_nothing_of_the_key(world):
    said = made(world.admin).json()
    address = f"/enrolment-keys/{said['id']}"
    api(world.admin).patch(address, {"name": "Lot 9", "quota": 500})
    for _ in range(2):
        api(world.admin).delete(address)
    entries = LogEntry.objects.filter(object_id=said["id"]).order_by("pk")
    assert [entry.get_change_message() for entry in entries] == [
        "Added.", "Changed name.", "Changed revoked_at."
    ]  # fmt: skip
    assert said["key"] not in str(list(entries.values()))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"quota": 0}, "quota"),
        ({"quota": 2**31}, "quota"),
        ({"quota": None}, "quota"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-15:00"}, "expires_at"),
        ({"type": "no such"}, "type"),
        ({"tenant": "other"}, "tenant"),
        ({"uses": 0}, "uses"),
        ({"key": "mine"}, "key"),
        ({"digest": "mine"}, "digest"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(world, fields, field):
    answer = made(world.admin, **fields)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_key_without_an_end_is_none(world):
    answer = api(world.admin).post("/enrolment-keys", {"name": "for ever", "quota": 1})
    assert [each["field"] for each in answer.json()["errors"]] == ["expires_at"]


def test_staff_name_the_tenant(world):
    assert made(world.staff, tenant="other").json()["tenant"] == "other"
    answer = made(world.staff)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "tenant")


def test_a_type_is_the_tenants_own_or_a_shared_one(world):
    DeviceType.objects.create(name="pump", tenant=world.other)
    DeviceType.objects.create(name="meter", tenant=None)
    statuses = [made(world.admin, type=name).status_code for name in ("pump", "meter", None)]
    assert statuses == [400, 201, 201]


# What it is good for -----------------------------------------------------------------------------


def set_to(**fields):
    return lambda: EnrolmentKey.objects.update(**fields)


@pytest.mark.parametrize(
    ("become", "state"),
    [
        (set_to(), "usable"),
        (set_to(uses=10), "used_up"),
        (set_to(uses=10, expires_at=timezone.now() - timedelta(days=1)), "expired"),
        (set_to(uses=10, expires_at=timezone.now(), revoked_at=timezone.now()), "revoked"),
    ],
)
def test_what_it_is_good_for_is_said_and_can_be_asked_for(world, become, state):
    become()
    key = EnrolmentKey.objects.get()
    assert api(world.admin).get(at(key)).json()["state"] == state == state_of(key)
    keys = EnrolmentKey.objects.all()
    assert [each for each in KeyState if in_state(keys, each).exists()] == [state]


def test_the_newest_key_is_listed_first_and_only_ones_own(world):
    newer, theirs = new_key(world, name="newer"), new_key(world, tenant=world.other)
    listed = api(world.admin).get("/enrolment-keys").json()
    assert [each["id"] for each in listed] == [newer.key.pk, world.made.key.pk]
    assert api(world.admin).get(at(theirs.key)).status_code == 404
    assert len(api(world.staff).get("/enrolment-keys").json()) == 3


def test_the_list_costs_the_same_however_long_it_is(world, django_assert_max_num_queries):
    for number in range(10):
        new_key(world, name=f"lot {number}", type=world.kind)
    client = api(world.staff)
    with django_assert_max_num_queries(2):
        client.get("/enrolment-keys")


def test_the_devices_that_enrolled_with_it_are_listed_page_by_page(world):
    for number in (1, 2, 3, 2):
        enroll(world.made, f"dev-7{number}")
    Device.objects.filter(device_uid="dev-71").retire()
    address = f"{at(world.made.key)}/devices"
    first = api(world.admin).get(address, {"limit": 1})
    following = first["Link"].partition(">")[0].lstrip("<")
    second = api(world.admin).get(following)
    assert [each["device_uid"] for each in first.json() + second.json()] == ["dev-73", "dev-72"]
    assert [each["count"] for each in first.json() + second.json()] == [1, 2]
    assert second.json()[0]["first_at"] < second.json()[0]["last_at"]


# To change, and to revoke ------------------------------------------------------------------------


def test_name_quota_and_end_can_be_changed(world):
    changes = {"name": "Lot 9", "quota": 20, "expires_at": "2999-01-01T00:00:00Z"}
    answer = api(world.admin).patch(at(world.made.key), changes)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in changes} == changes


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quota": 1}, "quota"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"tenant": "other"}, "tenant"),
        ({"type": None}, "type"),
        ({"revoked_at": None}, "revoked_at"),
    ],
)
def test_what_cannot_be_changed_is_refused(world, fields, field):
    EnrolmentKey.objects.update(uses=2)
    answer = api(world.admin).patch(at(world.made.key), fields)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("fields", [{"quota": 20}, {"expires_at": "2999-01-01T00:00:00Z"}])
def test_of_a_revoked_key_only_the_name_can_be_changed(world, fields):
    revoke(world.made.key, world.admin)
    answer = api(world.admin).patch(at(world.made.key), {"name": "Lot 9"} | fields)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "make a new one" in answer.json()["detail"]
    assert EnrolmentKey.objects.get().name == "Lot 7"
    assert api(world.admin).patch(at(world.made.key), {"name": "Lot 9"}).json()["name"] == "Lot 9"


def test_the_quota_can_be_as_many_as_have_come(world):
    EnrolmentKey.objects.update(uses=2)
    assert api(world.admin).patch(at(world.made.key), {"quota": 2}).json()["state"] == "used_up"


def test_a_revoked_key_stays_in_the_list_and_its_devices_where_they_are(world):
    enroll(world.made)
    answer = api(world.admin).delete(at(world.made.key))
    assert (answer.status_code, answer.content) == (204, b"")
    (listed,) = api(world.admin).get("/enrolment-keys").json()
    assert (listed["state"], bool(listed["revoked_at"])) == ("revoked", True)
    device = Device.objects.get(device_uid="dev-77")
    assert device.is_enabled
    assert device.credentials.in_force().count() == 1
    assert enroll(world.made).status_code == 401


def test_revoking_again_changes_nothing(world):
    client = api(world.admin)
    client.delete(at(world.made.key))
    before = EnrolmentKey.objects.get().revoked_at
    assert client.delete(at(world.made.key)).status_code == 204
    assert EnrolmentKey.objects.get().revoked_at == before


@pytest.mark.parametrize("id", ["0", "9" * 18, "9" * 30, "x", "-1"])
def test_a_key_that_is_not_there_is_not_found(world, id):
    for method in ("get", "delete"):
        assert getattr(api(world.staff), method)(f"/enrolment-keys/{id}").status_code == 404
