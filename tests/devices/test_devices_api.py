"""Devices over the API: read, create, change, delete."""

from datetime import UTC, datetime

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from devices.models import TAKEN, Device, DeviceType
from devices.serializers import DeviceSerializer
from tests import cast as people
from tests.cast import NOON, api

DEVICES = "/devices"
DEV_01 = "/devices/dev-01"
UNSETTABLE = "It cannot be set. Leave it out."


def errors_of(answer) -> dict[str, str]:
    """Field → what is wrong, of an answer that is a 400."""
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


def statements(client, method, *arguments) -> int:
    """How many it takes to answer, beside the one that finds the person of the token."""
    with CaptureQueriesContext(connection) as captured:
        assert getattr(client, method)(*arguments).status_code < 400
    return len([query for query in captured if "accounts_user" not in query["sql"]])


def test_a_device_is_shown_with_all_that_is_known_of_it(cast):
    people.device(
        "dev-02",
        cast.t0,
        session="online",
        since=NOON,
        last_seen_at=NOON,
        latest={"temp": [21.5, 1_768_392_000_250.5], "door": [None, 0.0]},
    )
    device = api(cast.viewer).get("/devices/dev-02").json()
    assert datetime.fromisoformat(device.pop("created_at")).tzinfo == UTC
    assert device == {
        "device_uid": "dev-02",
        "name": "Device dev-02",
        "tenant": "t0",
        "type": None,
        "is_enabled": True,
        "labels": {},
        "session": "online",
        "session_since": "2026-01-14T12:00:00+00:00",
        "session_reason": "It said so itself.",
        "data_flow": "unknown",
        "data_flow_since": None,
        "data_flow_reason": "It has never sent a reading.",
        "last_seen_at": "2026-01-14T12:00:00+00:00",
        "latest": {"door": [None, 0.0], "temp": [21.5, 1_768_392_000_250.5]},
    }


def test_a_device_that_was_never_heard_is_unknown_and_empty(cast):
    device = api(cast.viewer).get(DEV_01).json()
    assert (device["session"], device["latest"]) == ("unknown", {})
    assert device["last_seen_at"] is device["session_since"] is None


def test_a_device_is_created_in_the_tenant_of_who_creates_it(cast):
    sent = {"device_uid": "roof.1", "name": "Roof", "labels": {"site": "Hanoi"}}
    answer = api(cast.operator).post(DEVICES, sent)
    assert answer.status_code == 201
    assert answer.json() | sent == answer.json()
    assert (answer.json()["tenant"], answer.json()["is_enabled"]) == ("t0", True)
    assert answer["Location"] == "http://testserver/devices/roof.1"


def test_list_page_and_answers_are_one_representation(cast):
    app = api(cast.operator)
    created = app.post(DEVICES, {"device_uid": "dev-09"}).json()
    assert created in app.get(DEVICES).json()
    assert app.get("/devices/dev-09").json() == created
    assert app.patch("/devices/dev-09", {}).json() == created
    assert list(created) == DeviceSerializer.Meta.fields


@pytest.mark.parametrize("uid", ["dev-01", "foreign-01"])
def test_a_uid_that_is_taken_by_whomever_is_a_conflict_that_tells_nothing(cast, uid):
    answer = api(cast.operator).post(DEVICES, {"device_uid": uid})
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    assert (answer.json()["code"], answer.json()["detail"]) == ("conflict", TAKEN)


@pytest.mark.parametrize("uid", ["", "a/b", "a b", "+", "Łódź", "x" * 129, None, {}])
def test_a_uid_that_is_no_level_of_a_topic_is_refused(cast, uid):
    answer = api(cast.operator).post(DEVICES, {"device_uid": uid})
    assert errors_of(answer).keys() == {"device_uid"}


@pytest.mark.parametrize("tenant", ["other", "nobody", "", "T0", None, 1, ["t0"]])
def test_a_person_creates_devices_in_no_tenant_but_their_own(cast, tenant):
    sent = {"device_uid": "dev-09", "tenant": tenant}
    assert errors_of(api(cast.operator).post(DEVICES, sent)).keys() == {"tenant"}
    assert not Device.objects.filter(device_uid="dev-09").exists()


def test_a_tenant_of_others_is_refused_in_the_same_words_as_one_that_is_not_there(cast):
    app = api(cast.operator)
    said = [
        errors_of(app.post(DEVICES, {"device_uid": "dev-09", "tenant": slug}))["tenant"]
        for slug in ("other", "nobody")
    ]
    assert said[0].replace("other", "nobody") == said[1]


def test_a_person_may_name_their_own_tenant(cast):
    answer = api(cast.operator).post(DEVICES, {"device_uid": "dev-09", "tenant": "t0"})
    assert answer.status_code == 201


def test_staff_name_the_tenant(cast):
    app = api(cast.staff)
    assert "name the one" in errors_of(app.post(DEVICES, {"device_uid": "dev-09"}))["tenant"]
    answer = app.post(DEVICES, {"device_uid": "dev-09", "tenant": "other"})
    assert answer.json()["tenant"] == "other"


def test_staff_of_a_tenant_need_not_name_it(cast):
    boss = User.objects.create_superuser("boss@t0.example", "x", tenant=cast.t0)
    assert api(boss).post(DEVICES, {"device_uid": "dev-09"}).json()["tenant"] == "t0"


def test_what_is_sent_changes_and_nothing_else(cast):
    answer = api(cast.operator).patch(DEV_01, {"labels": {"site": "Hue"}})
    assert (answer.status_code, answer.json()["labels"]) == (200, {"site": "Hue"})
    assert answer.json()["name"] == "Device dev-01"


def test_a_change_writes_no_column_that_was_not_sent(cast):
    with CaptureQueriesContext(connection) as captured:
        api(cast.operator).patch(DEV_01, {"name": "Roof"})
    (update,) = [q["sql"] for q in captured if q["sql"].startswith('UPDATE "devices_device"')]
    assert '"name" = ' in update
    assert "is_enabled" not in update


def test_labels_are_replaced_as_a_whole(cast):
    app = api(cast.operator)
    app.patch(DEV_01, {"labels": {"site": "Hue", "floor": "3"}})
    assert app.patch(DEV_01, {"labels": {"floor": "4"}}).json()["labels"] == {"floor": "4"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *[(name, UNSETTABLE) for name in ("device_uid", "tenant", "session", "latest")],
        ("created_at", UNSETTABLE),
        ("nme", "There is no such field to set. Possible: is_enabled, labels, name, type."),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(cast, name, said):
    errors = errors_of(api(cast.operator).patch(DEV_01, {name: "t0", "name": "Roof"}))
    assert errors == {name: said}
    assert Device.objects.get(device_uid="dev-01").name == "Device dev-01"


def test_what_cannot_be_set_of_a_new_device_is_no_unknown_field(cast):
    answer = api(cast.operator).post(DEVICES, {"device_uid": "new-1", "session": "online"})
    assert answer.json()["errors"] == [
        {"field": "session", "code": "read_only", "detail": UNSETTABLE}
    ]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        [],
        "site",
        {"floor": 3},
        {"site": None},
        {"site": {"city": "Hue"}},
        {"": "x"},
        {"a:b": "c"},
        {"k" * 65: "x"},
        {"k": "v" * 257},
        {f"k{n}": "v" for n in range(65)},
    ],
)
def test_labels_that_are_no_object_of_short_texts_are_refused(cast, labels):
    answer = api(cast.operator).patch(DEV_01, {"labels": labels})
    assert errors_of(answer).keys() == {"labels"}


def test_the_most_that_labels_may_hold_is_taken(cast):
    labels = {f"{n:0>64}": "v" * 256 for n in range(64)}
    assert api(cast.operator).patch(DEV_01, {"labels": labels}).json()["labels"] == labels


@pytest.mark.parametrize(
    "sent", [{"is_enabled": "perhaps"}, {"is_enabled": None}, {"name": None}, {"name": "x" * 256}]
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(cast, sent):
    assert errors_of(api(cast.operator).patch(DEV_01, sent)).keys() == sent.keys()


@pytest.mark.parametrize("body", [[], [{"device_uid": "x"}]])
def test_a_body_that_is_no_object_is_refused(cast, body):
    assert api(cast.operator).post(DEVICES, body).status_code == 400
    assert api(cast.operator).patch(DEV_01, body).status_code == 400


def test_a_device_gets_a_type_by_name(cast):
    DeviceType.objects.create(name="sensor", tenant=cast.t0)
    assert api(cast.operator).patch(DEV_01, {"type": "sensor"}).json()["type"] == "sensor"
    assert api(cast.operator).patch(DEV_01, {"type": None}).json()["type"] is None


def test_a_device_may_have_a_shared_type(cast):
    DeviceType.objects.create(name="sensor")
    assert api(cast.operator).patch(DEV_01, {"type": "sensor"}).json()["type"] == "sensor"


@pytest.mark.parametrize("actor", ["operator", "staff"])
def test_a_type_of_another_tenant_does_not_exist_for_a_device(cast, actor):
    DeviceType.objects.create(name="theirs", tenant=cast.other)
    app = api(getattr(cast, actor))
    said = [errors_of(app.patch(DEV_01, {"type": name}))["type"] for name in ("theirs", "nowhere")]
    assert said[0].replace("theirs", "nowhere") == said[1]


def test_of_types_with_one_name_staff_give_a_device_that_of_its_tenant(cast):
    theirs = DeviceType.objects.create(name="sensor", tenant=cast.other)
    DeviceType.objects.create(name="sensor", tenant=cast.t0)
    sent = {"device_uid": "dev-09", "tenant": "other", "type": "sensor"}
    api(cast.staff).post(DEVICES, sent)
    assert Device.objects.get(device_uid="dev-09").type == theirs


def test_a_deleted_device_is_gone_and_keeps_its_uid(cast):
    app = api(cast.operator)
    assert app.delete(DEV_01).status_code == 204
    assert app.get(DEV_01).status_code == app.delete(DEV_01).status_code == 404
    assert app.patch(DEV_01, {"is_enabled": True}).status_code == 404
    assert app.post(DEVICES, {"device_uid": "dev-01"}).status_code == 409
    assert Device.objects.get(device_uid="dev-01").deleted_at


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_device_of_others_is_not_there(cast, method):
    app = api(cast.stranger)
    foreign, nowhere = (getattr(app, method)(f"/devices/{uid}") for uid in ("dev-01", "nowhere"))
    assert foreign.status_code == nowhere.status_code == 404
    assert foreign.json() == nowhere.json()
    assert not Device.objects.get(device_uid="dev-01").deleted_at


@pytest.mark.parametrize(
    ("method", "url"), [("post", DEVICES), ("patch", DEV_01), ("delete", DEV_01)]
)
def test_a_viewer_changes_nothing(cast, method, url):
    assert getattr(api(cast.viewer), method)(url, {"device_uid": "dev-09"}).status_code == 403
    assert not Device.objects.filter(device_uid="dev-09").exists()


@pytest.mark.parametrize("url", [DEVICES, DEV_01])
def test_who_is_not_logged_in_sees_nothing(cast, url):
    assert api(None).get(url).status_code == 401


@pytest.mark.parametrize("url", [DEVICES, DEV_01])
def test_a_device_is_never_replaced(cast, url):
    assert api(cast.staff).put(url, {"device_uid": "dev-01"}).status_code == 405


@pytest.mark.parametrize("uid", ["a.b.c", "a.json", "x:y", "-", ".", "api"])
def test_any_uid_has_an_address_with_and_without_a_slash(cast, uid):
    people.device(uid, cast.t0)
    app = api(cast.viewer)
    for url in (f"/devices/{uid}", f"/devices/{uid}/"):
        assert app.get(url).json()["device_uid"] == uid


def test_reading_takes_one_statement_and_writing_few(cast):
    app = api(cast.operator)
    ContentType.objects.get_for_model(Device)  # Kept by a process that has asked for it once.
    assert statements(app, "get", DEV_01) == 1
    # Each with the two that begin and end a transaction, inside that of the test, the entry in the
    # history, and the answer.
    assert statements(app, "patch", DEV_01, {"name": "Roof"}) == 6
    assert statements(app, "post", DEVICES, {"device_uid": "dev-09"}) == 5 + 1  # Own tenant.
    # Two locks: whose history it is, and gateways; who waited for one asks what is left.
    assert statements(app, "delete", DEV_01) == 9
