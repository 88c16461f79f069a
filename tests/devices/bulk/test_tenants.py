"""Import and export keep to the tenant of whoever asks, and to what their role may do."""

import pytest

from devices.models import TAKEN, Device
from tests import cast as people
from tests.devices.bulk.conftest import exported, faults, rows, send

NOBODY = None


def actor(cast, name):
    return getattr(cast, name) if name else NOBODY


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (NOBODY, 401),
        ("viewer", 403),
        ("operator", 200),
        ("admin", 200),
        ("stranger", 200),
    ],
)
def test_who_may_import(cast, name, status):
    assert send(actor(cast, name), "device_uid\nnew-1\n").status_code == status
    assert Device.objects.filter(device_uid="new-1").exists() == (status == 200)


def test_who_may_not_import_may_not_try_either(cast):
    assert send(cast.viewer, "device_uid\nnew-1\n", dry_run="true").status_code == 403


@pytest.mark.parametrize("name", ["operator", "admin"])
def test_a_new_device_belongs_to_the_tenant_of_the_person(cast, name):
    send(actor(cast, name), "device_uid,tenant\nnew-1,t0\n")
    send(actor(cast, name), "device_uid\nnew-2\n")
    assert cast.t0.devices.filter(device_uid__startswith="new").count() == 2


@pytest.mark.parametrize("dry_run", ["true", "false"])
@pytest.mark.parametrize(("name", "uid"), [("operator", "foreign-01"), ("stranger", "dev-01")])
def test_a_device_of_another_tenant_is_an_error_that_tells_nothing(cast, name, uid, dry_run):
    Device.objects.filter(device_uid="foreign-01").update(labels={"secret": "yes"})
    before = list(Device.objects.values())
    answer = send(actor(cast, name), [{"device_uid": uid, "name": "Mine"}], dry_run=dry_run)
    (row,) = answer.json()["report"]["rows"]
    assert (row["outcome"], row["fields"]) == ("error", [])
    assert row["errors"] == [{"field": "device_uid", "code": "taken", "detail": TAKEN}]
    assert list(Device.objects.values()) == before


def test_a_foreign_and_a_deleted_device_cannot_be_told_apart(cast):
    Device.objects.filter(pk=cast.device.pk).retire()
    answer = send(cast.operator, "device_uid\ndev-01\nforeign-01\n")
    assert [said for _, said in faults(answer)] == [TAKEN, TAKEN]


@pytest.mark.parametrize("uid", ["new-1", "dev-01"])
def test_a_foreign_tenant_and_none_at_all_cannot_be_told_apart(cast, uid):
    answer = send(cast.operator, [{"device_uid": uid, "tenant": "other"}])
    assert faults(answer) == [
        ("1.tenant", "There is no tenant “other”. Leave it out for your own.")
    ]


def test_a_type_of_another_tenant_does_not_exist(cast, types):
    answer = send(cast.operator, [{"device_uid": "new-1", "type": "turbine"}])
    missing = send(cast.operator, [{"device_uid": "new-1", "type": "nothing"}])
    assert faults(answer)[0][1] == faults(missing)[0][1].replace("nothing", "turbine")


def test_staff_say_which_tenant_a_new_device_belongs_to(cast, types):
    answer = send(cast.staff, "device_uid,tenant,type\na,t0,boiler\nb,other,turbine\n")
    assert [outcome for *_, outcome in rows(answer)] == ["created", "created"]
    assert Device.objects.get(device_uid="b").type == types.foreign


def test_staff_who_do_not_say_it_are_asked(cast):
    answer = send(cast.staff, "device_uid\nnew-1\n")
    assert faults(answer)[0][0] == "2.tenant"
    assert "name the one that the device belongs to" in faults(answer)[0][1]


def test_staff_change_devices_of_every_tenant_and_need_not_name_it(cast):
    send(cast.staff, "device_uid,name\ndev-01,A\nforeign-01,B\n")
    assert list(Device.objects.values_list("name", flat=True)) == ["A", "B"]


def test_not_even_staff_move_a_device_to_another_tenant(cast):
    answer = send(cast.staff, [{"device_uid": "dev-01", "tenant": "other"}])
    assert faults(answer) == [("1.tenant", "A device's tenant never changes.")]


def test_a_device_of_staff_cannot_get_a_type_of_another_tenant(cast, types):
    answer = send(cast.staff, [{"device_uid": "dev-01", "type": "turbine"}])
    assert faults(answer)[0][0] == "1.type"


@pytest.mark.parametrize(
    ("name", "uids"),
    [
        ("viewer", {"dev-01"}),
        ("operator", {"dev-01"}),
        ("stranger", {"foreign-01"}),
        ("staff", {"dev-01", "foreign-01"}),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_holds_what_the_person_may_see(cast, name, uids, kind):
    Device.objects.create(device_uid="gone-01", tenant=cast.t0)
    Device.objects.filter(device_uid="gone-01").retire()
    file = exported(getattr(cast, name), **{"as": kind}).decode()
    assert {uid for uid in ("dev-01", "foreign-01", "gone-01") if uid in file} == uids


def test_nobody_exports_without_a_login(cast):
    assert people.api(None).get("/export/devices").status_code == 401
