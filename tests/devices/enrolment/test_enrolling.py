"""A device shows a key and is let in, as who it says it is and nobody else."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from devices.brokers import changes
from devices.credentials.authenticating import authenticate
from devices.credentials.issuing import revoke
from devices.enrolment import enrolling
from devices.enrolment.keys import revoke as revoke_key
from devices.models import (
    BrokerChange,
    Credential,
    Device,
    DeviceType,
    Enrolment,
    EnrolmentKey,
    Origin,
)
from telemetry.models import Telemetry
from tests import cast as people
from tests.devices.enrolment.conftest import enroll, new_key

SUFFIXES = ("telemetry", "commands", "replies", "status")


def key_of(world) -> EnrolmentKey:
    return EnrolmentKey.objects.get(pk=world.made.key.pk)


# A new device ------------------------------------------------------------------------------------


def test_a_new_device_is_told_all_that_it_connects_with(world):
    answer = enroll(world.made)
    said = answer.json()
    token = said.pop("token")
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert said == {
        "device_uid": "dev-77",
        "tenant": "t0",
        "username": "dev-77",
        "client_id": "dev-77",
        "topics": {kind: f"t0/devices/dev-77/{kind}" for kind in SUFFIXES},
        "expires_at": None,
    }
    assert authenticate("dev-77", token, "dev-77").names == [("t0", "dev-77")]


def test_it_is_of_the_tenant_and_the_type_of_the_key(world):
    enroll(world.made)
    device = Device.objects.get(device_uid="dev-77")
    assert (device.tenant, device.type, device.name) == (world.t0, world.kind, "dev-77")
    credential = device.credentials.get()
    assert (credential.origin, credential.created_by) == (Origin.ENROLLED, None)
    assert (device.enrolment.key, device.enrolment.count) == (world.made.key, 1)


def test_a_key_without_a_type_makes_devices_without_one(world):
    assert enroll(new_key(world)).status_code == 201
    assert Device.objects.get(device_uid="dev-77").type is None


def test_as_many_devices_as_the_quota_says_and_no_more(world):
    made = new_key(world, quota=2)
    answers = [enroll(made, f"dev-7{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json()["code"] == "used_up"
    assert not Device.objects.filter(device_uid="dev-72").exists()


def test_mosquitto_is_told_of_the_token_and_nobody_of_a_refused_device(world, settings):
    settings.MQTT_ACCESS = "mosquitto"
    made = new_key(world, quota=1)
    token = enroll(made).json()["token"]
    enroll(made, "dev-78")
    assert list(BrokerChange.objects.values_list("device_uid", "token")) == [("dev-77", token)]


# The same device again ---------------------------------------------------------------------------


def test_a_device_that_was_flashed_anew_stays_who_it_is(world):
    enroll(world.made)
    device = Device.objects.get(device_uid="dev-77")
    Device.objects.filter(pk=device.pk).update(labels={"site": "Hanoi"}, name="Roof", type=None)
    people.reading(device, temp=1)
    before = Device.objects.values().get(pk=device.pk)
    assert enroll(world.made).status_code == 200
    assert Device.objects.values().get(pk=device.pk) == before
    assert Telemetry.objects.filter(device=device).count() == 1


def test_its_former_token_ends_at_once(world):
    first, second = (enroll(world.made).json()["token"] for _ in range(2))
    assert authenticate("dev-77", first) is None
    assert authenticate("dev-77", second)


def test_it_is_counted_once(world):
    made = new_key(world, quota=1)
    assert [enroll(made).status_code for _ in range(3)] == [201, 200, 200]
    enrolment = Enrolment.objects.get()
    assert (enrolment.count, enrolment.key.uses) == (3, 1)
    assert enrolment.first_at <= enrolment.last_at


def test_a_gateway_goes_on_speaking_for_its_devices(world):
    enroll(world.made)
    further = people.device("behind-01", world.t0)
    Credential.objects.get().gateway_for.add(further)
    token = enroll(world.made).json()["token"]
    assert authenticate("dev-77", token).names == [("t0", "dev-77"), ("t0", "behind-01")]


def test_a_token_that_a_person_made_for_it_ends_too(world):
    enroll(world.made)
    made_by_hand = people.token(Device.objects.get(device_uid="dev-77"), world.operator)
    assert enroll(world.made).status_code == 200
    assert authenticate("dev-77", made_by_hand) is None


def test_a_device_whose_token_ran_out_may_come_again_also_when_the_broker_was_told(world):
    enroll(world.made)
    Credential.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert changes.expire() == 1
    assert Credential.objects.get().revoked_at
    assert enroll(world.made).status_code == 200


def test_one_whose_token_was_revoked_before_it_ran_out_may_not(world):
    enroll(world.made)
    Credential.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    revoke(Credential.objects.all())
    assert enroll(world.made).status_code == 403


# A device that waits -----------------------------------------------------------------------------


def test_a_device_that_waits_to_come_keeps_what_was_written_of_it(world):
    waiting = people.device("dev-77", world.t0)
    assert enroll(world.made).status_code == 201
    device = Device.objects.get(device_uid="dev-77")
    assert (device.pk, device.name, device.type) == (waiting.pk, "Device dev-77", None)
    assert key_of(world).uses == 1
    assert enroll(world.made).status_code == 200


def test_it_counts_against_the_quota(world):
    made = new_key(world, quota=1)
    people.device("dev-78", world.t0)
    assert [enroll(made, uid).status_code for uid in ("dev-77", "dev-78")] == [201, 409]
    assert not Credential.objects.filter(device__device_uid="dev-78").exists()


# What a key is not good for ----------------------------------------------------------------------


def of_another_type(world):
    kind = DeviceType.objects.create(name="pump", tenant=world.t0)
    Device.objects.filter(pk=people.device("dev-77", world.t0).pk).update(type=kind)


def deleted(world):
    enroll(new_key(world))
    Device.objects.filter(device_uid="dev-77").retire()


def deleted_before_it_came(world):
    people.device("dev-77", world.t0)
    Device.objects.filter(device_uid="dev-77").retire()


TAKEN_BY = {
    "a device of another tenant": lambda world: people.device("dev-77", world.other),
    "a device with a token": lambda world: people.token(people.device("dev-77", world.t0)),
    "one of another key": lambda world: enroll(new_key(world)),
    "one of another type": of_another_type,
    "a deleted device of another key": deleted,
    "a deleted device without a key": deleted_before_it_came,
}


@pytest.mark.parametrize("take", TAKEN_BY.values(), ids=TAKEN_BY)
def test_a_uid_that_is_taken_is_refused_in_the_same_words(world, take):
    take(world)
    before = list(Credential.objects.values()), key_of(world).uses
    answer = enroll(world.made)
    assert (answer.status_code, answer.json()["detail"]) == (409, enrolling.TAKEN)
    assert (list(Credential.objects.values()), key_of(world).uses) == before


def test_a_device_that_came_and_was_deleted_is_told_so(world):
    enroll(world.made)
    Device.objects.filter(device_uid="dev-77").retire()
    answer = enroll(world.made)
    assert (answer.status_code, answer.json()["detail"]) == (409, enrolling.DELETED)
    assert (key_of(world).uses, key_of(world).window_uses) == (1, 2)


def test_a_uid_that_another_one_takes_at_the_same_moment_is_refused(world, monkeypatch):
    found = enrolling.Device.objects.select_for_update

    def late(**options):
        # Evaluated before it is there.
        none = found(**options).none()
        people.device("dev-77", world.other)
        return none

    monkeypatch.setattr(enrolling.Device.objects, "select_for_update", late)
    answer = enroll(world.made)
    assert (answer.status_code, answer.json()["detail"]) == (409, enrolling.TAKEN)


def test_another_tenants_key_takes_nothing_over(world):
    token = enroll(world.made).json()["token"]
    assert enroll(new_key(world, tenant=world.other)).status_code == 409
    assert authenticate("dev-77", token)


def test_a_disabled_device_does_not_come_back_by_its_key(world):
    enroll(world.made)
    Device.objects.update(is_enabled=False)
    before = list(Credential.objects.values())
    answer = enroll(world.made)
    assert (answer.status_code, answer.json()["code"]) == (403, "shut_out")
    assert list(Credential.objects.values()) == before
    Device.objects.update(is_enabled=True)
    assert enroll(world.made).status_code == 200


def test_nor_does_one_that_waits_and_is_disabled(world):
    people.device("dev-77", world.t0)
    Device.objects.update(is_enabled=False)
    assert enroll(world.made).status_code == 403
    assert key_of(world).uses == 0


def test_nor_does_one_whose_credential_was_revoked(world):
    enroll(world.made)
    revoke(Credential.objects.all())
    assert enroll(world.made).status_code == 403
    people.token(Device.objects.get(device_uid="dev-77"), world.operator)
    assert enroll(world.made).status_code == 200


def test_a_client_id_of_the_platform_is_no_device(world, settings):
    uid = f"{settings.MQTT_CLIENT_ID}-ingest"
    answer = enroll(world.made, uid)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "device_uid")
    assert not Device.objects.filter(device_uid=uid).exists()
    assert key_of(world).uses == 0


# Keys that are good for nothing ------------------------------------------------------------------


def expired(world):
    EnrolmentKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


SPOILT_BY = {
    "expired": expired,
    "revoked": lambda world: revoke_key(world.made.key, world.admin),
    "deleted": lambda world: EnrolmentKey.objects.all().delete(),
    "never one": lambda world: EnrolmentKey.objects.update(digest=bytes(32)),
}


@pytest.mark.parametrize("spoil", SPOILT_BY.values(), ids=SPOILT_BY)
def test_a_key_that_is_good_for_nothing_is_refused_in_the_same_words(world, spoil):
    enroll(world.made)
    spoil(world)
    for uid in ("dev-77", "dev-78", "foreign-01"):
        answer = enroll(world.made, uid)
        assert (answer.status_code, answer.json()["code"]) == (401, "wrong_key")
        assert answer.json()["detail"] == enrolling.WRONG
    assert Credential.objects.count() == 1


def test_with_a_later_end_a_key_is_good_again(world):
    expired(world)
    EnrolmentKey.objects.update(expires_at=F("expires_at") + timedelta(days=1))
    assert enroll(world.made).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "key"),
        ({"key": "x"}, "device_uid"),
        ({"key": 7, "device_uid": "d"}, "key"),
        ({"key": None, "device_uid": "d"}, "key"),
        ({"key": "", "device_uid": "d"}, "key"),
        ({"key": "x" * 257, "device_uid": "d"}, "key"),
        ({"key": "x", "device_uid": "a/b"}, "device_uid"),
        ({"key": "x", "device_uid": "+"}, "device_uid"),
        ({"key": "x", "device_uid": " d"}, "device_uid"),
        ({"key": "x", "device_uid": "d" * 129}, "device_uid"),
        ({"key": "x", "device_uid": 7}, "device_uid"),
        ({"key": "x", "device_uid": ["d"]}, "device_uid"),
        ({"key": "x", "device_uid": "d", "tenant": "other"}, "tenant"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_field(world, body, field):
    answer = people.api(None).post("/enroll", body)
    assert answer.status_code == 400
    assert field in {each["field"] for each in answer.json()["errors"]}
    assert "xxx" not in answer.text


@pytest.mark.parametrize("body", ["[]", "{", "7", '{"key": "\\u0000", "device_uid": "d"}'])
def test_what_is_no_object_is_refused(world, body):
    client = people.api(None)
    assert client.post("/enroll", body, content_type="application/json").status_code == 400


def test_where_enrolment_is_off_it_is_said_what_to_do(world, settings):
    settings.ENROLMENT = False
    answer = enroll(world.made)
    assert (answer.status_code, answer.json()["code"]) == (403, "enrolment_off")
    assert "ENROLMENT=1" in answer.json()["detail"]
    assert not Device.objects.filter(device_uid="dev-77").exists()
