"""Device types over the API: whose they are, what they say, and that no two share a name."""

import pytest

from accounts.models import User
from devices.enrolment.keys import revoke
from devices.models import TYPE_TAKEN, Device, DeviceType, EnrolmentKey
from tests import cast as people
from tests.cast import api

TYPES = "/device-types"
FIELDS = {"temp": {"label": "Temperature", "unit": "°C", "min": -40, "max": 60.5}, "door": {}}


def errors_of(answer) -> dict[str, str]:
    """Field → what is wrong, of an answer that is a 400."""
    assert answer.status_code == 400
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


def named(client) -> list[str]:
    return [kind["name"] for kind in client.get(TYPES).json()]


@pytest.fixture
def types(cast):
    """One type of t0, one of the other tenant, one that all share."""
    cast.own = DeviceType.objects.create(name="own", tenant=cast.t0)
    cast.theirs = DeviceType.objects.create(name="theirs", tenant=cast.other)
    cast.shared = DeviceType.objects.create(name="shared")
    return cast


def address(kind: DeviceType) -> str:
    return f"{TYPES}/{kind.pk}"


def test_a_person_sees_the_types_of_their_tenant_and_the_shared_ones(types):
    assert named(api(types.viewer)) == ["own", "shared"]
    assert named(api(types.stranger)) == ["shared", "theirs"]
    assert named(api(types.staff)) == ["own", "shared", "theirs"]


def test_a_list_takes_one_statement(types, django_assert_num_queries):
    app = api(types.viewer)
    with django_assert_num_queries(2):  # The other one finds the person of the token.
        assert len(app.get(TYPES).json()) == 2


def test_long_lists_come_in_pages(types):
    first = api(types.viewer).get(f"{TYPES}?limit=1")
    second = api(types.viewer).get(first["Link"].partition("<http://testserver")[2].split(">")[0])
    assert [kind["name"] for kind in first.json() + second.json()] == ["own", "shared"]


def test_an_admin_makes_a_type_of_their_tenant(cast):
    sent = {"name": "sensor", "offline_after": 60, "retention_days": 30, "fields": FIELDS}
    answer = api(cast.admin).post(TYPES, sent)
    assert (answer.status_code, answer["Content-Type"]) == (201, "application/json")
    kind = DeviceType.objects.get()
    assert answer.json() == {"id": kind.pk, "tenant": "t0", **sent}
    assert api(cast.viewer).get(answer["Location"]).json() == answer.json()


def test_a_type_needs_no_more_than_a_name(cast):
    answer = api(cast.admin).post(TYPES, {"name": "sensor"}).json()
    assert answer["offline_after"] is answer["retention_days"] is None
    assert answer["fields"] == {}


@pytest.mark.parametrize("tenant", ["other", "nobody", None, 5])
def test_an_admin_makes_types_of_no_tenant_but_their_own(cast, tenant):
    answer = api(cast.admin).post(TYPES, {"name": "sensor", "tenant": tenant})
    assert errors_of(answer).keys() == {"tenant"}


def test_staff_make_types_of_a_tenant_and_shared_ones(cast):
    app = api(cast.staff)
    assert app.post(TYPES, {"name": "a", "tenant": "other"}).json()["tenant"] == "other"
    assert app.post(TYPES, {"name": "b"}).json()["tenant"] is None
    boss = api(User.objects.create_superuser("boss@t0.example", "x", tenant=cast.t0))
    assert boss.post(TYPES, {"name": "c"}).json()["tenant"] == "t0"
    assert boss.post(TYPES, {"name": "d", "tenant": None}).json()["tenant"] is None


@pytest.mark.parametrize("name", ["own", "shared"])
def test_a_name_that_devices_of_the_tenant_could_mean_is_taken(types, name):
    for answer in (
        api(types.admin).post(TYPES, {"name": name}),
        api(types.admin).patch(
            address(DeviceType.objects.create(tenant=types.t0, name="x")), {"name": name}
        ),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (409, TYPE_TAKEN)


def test_a_name_of_another_tenant_is_free(types):
    assert api(types.admin).post(TYPES, {"name": "theirs"}).status_code == 201


@pytest.mark.parametrize("name", ["own", "theirs", "shared"])
def test_a_shared_type_takes_no_name_that_any_tenant_uses(types, name):
    assert api(types.staff).post(TYPES, {"name": name}).status_code == 409


def test_a_name_that_somebody_takes_at_the_same_moment_is_a_conflict(types, monkeypatch):
    monkeypatch.setattr(DeviceType, "is_name_taken", lambda self: False)
    answer = api(types.admin).post(TYPES, {"name": "own"})
    assert (answer.status_code, answer.json()["detail"]) == (409, TYPE_TAKEN)


def test_what_is_sent_changes_and_nothing_else(types):
    DeviceType.objects.update(offline_after=60, fields=FIELDS)
    answer = api(types.admin).patch(address(types.own), {"name": "own", "retention_days": 7})
    assert answer.status_code == 200
    assert answer.json() | {"retention_days": 7, "offline_after": 60} == answer.json()
    assert answer.json()["fields"] == FIELDS


@pytest.mark.parametrize(
    ("name", "said"),
    [("tenant", "It cannot be set."), ("id", "It cannot be set."), ("nme", "There is no such")],
)
def test_what_cannot_be_changed_is_refused_by_name(types, name, said):
    errors = errors_of(api(types.admin).patch(address(types.own), {name: "t0"}))
    assert errors.keys() == {name}
    assert errors[name].startswith(said)


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_only_staff_change_a_shared_type(types, method):
    answer = getattr(api(types.admin), method)(address(types.shared), {})
    assert answer.status_code == 403
    assert "only platform staff" in answer.json()["detail"]
    assert getattr(api(types.staff), method)(address(types.shared), {}).status_code < 300


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
@pytest.mark.parametrize("number", [None, 0, "9" * 30])
def test_a_type_of_others_is_not_there(types, method, number):
    url = address(types.theirs) if number is None else f"{TYPES}/{number}"
    answer = getattr(api(types.admin), method)(url, {})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("actor", ["viewer", "operator"])
def test_only_admins_make_and_change_types(types, actor):
    app = api(getattr(types, actor))
    assert app.post(TYPES, {"name": "x"}).status_code == 403
    assert app.patch(address(types.own), {"name": "x"}).status_code == 403
    assert app.delete(address(types.own)).status_code == 403
    assert app.get(address(types.own)).status_code == 200


def test_a_type_is_deleted(types):
    assert api(types.admin).delete(address(types.own)).status_code == 204
    assert named(api(types.admin)) == ["shared"]


def test_a_type_that_devices_have_stays(types):
    Device.objects.filter(pk=types.device.pk).update(type=types.own)
    answer = api(types.admin).delete(address(types.own))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["detail"].startswith("Devices or enrolment keys are of this type. Give")


def test_a_type_that_an_enrolment_key_brings_stays_until_that_is_revoked(types):
    made = people.enrolment_key(by=types.admin, tenant=types.t0, type=types.own)
    answer = api(types.admin).delete(address(types.own))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "revoke the keys" in answer.json()["detail"]
    assert EnrolmentKey.objects.get().type == types.own
    revoke(made.key, types.admin)
    assert api(types.admin).delete(address(types.own)).status_code == 204
    assert EnrolmentKey.objects.get().revoked_at


def test_a_deleted_device_holds_its_type_no_longer(types):
    Device.objects.filter(pk=types.device.pk).update(type=types.own)
    api(types.operator).delete("/devices/dev-01")
    assert api(types.admin).delete(address(types.own)).status_code == 204


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "x" * 129),
        ("offline_after", 0),
        ("offline_after", 10**9),
        ("offline_after", 1.5),
        ("retention_days", -1),
        ("retention_days", 36_501),
        ("retention_days", 10**30),
        ("retention_days", "soon"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(types, name, value):
    assert errors_of(api(types.admin).patch(address(types.own), {name: value})).keys() == {name}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (None, "null"),
        ([], "object such as"),
        ("temp", "object such as"),
        ({"temp": None}, "temp: use an object of label, unit, min and max"),
        ({"temp": "°C"}, "temp: use an object of label, unit, min and max"),
        ({"temp": {"colour": "red"}}, "temp: use an object of label, unit, min and max"),
        ({"temp": {"label": 1}}, "temp.label: put the value in quotes"),
        ({"temp": {"label": "x" * 129}}, "temp.label: use at most 128"),
        ({"temp": {"unit": "x" * 33}}, "temp.unit: use at most 32"),
        ({"temp": {"min": "1"}}, "temp.min: use a number"),
        ({"temp": {"min": True}}, "temp.min: use a number"),
        ({"temp": {"max": None}}, "temp.max: use a number"),
        ({"temp": {"min": 2, "max": 1}}, "temp: min is greater than max"),
        ({"": {}}, "1 to 128 characters"),
        ({"x" * 129: {}}, "1 to 128 characters"),
        ({f"key{n}": {} for n in range(257)}, "at most 256 keys"),
    ],
)
def test_fields_say_what_keys_mean_and_nothing_else(types, fields, said):
    answer = api(types.admin).patch(address(types.own), {"fields": fields})
    errors = errors_of(answer)
    assert errors.keys() == {"fields"}
    assert said in errors["fields"]
