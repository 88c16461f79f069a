"""The console's pages of device types, and the type on the pages of devices."""

import pytest
from django.urls import reverse

from devices.models import Device, DeviceType, EnrolmentKey
from tests import cast as people
from tests.queries import queries_of

TYPES = "/admin/devices/devicetype/"
DEVICES = "/admin/devices/device/"
NEW = {"name": "sensor", "offline_after": "60", "retention_days": "30", "fields": ""}
NEW_DEVICE = {"device_uid": "dev-99", "is_enabled": "on", "labels": "{}"}


def page_of(thing, action="change") -> str:
    return reverse(f"admin:devices_{thing._meta.model_name}_{action}", args=[thing.pk])


def errors_of(response) -> set[str]:
    return set(response.context["adminform"].form.errors)


def names_listed(client, **parameters) -> list[str]:
    return [kind.name for kind in client.get(TYPES, parameters).context["cl"].result_list]


@pytest.fixture
def types(cast):
    """One type of t0, one of the other tenant, one that all share."""
    cast.own = DeviceType.objects.create(name="own", tenant=cast.t0)
    cast.theirs = DeviceType.objects.create(name="theirs", tenant=cast.other)
    cast.shared = DeviceType.objects.create(name="shared")
    return cast


def test_the_list_shows_the_types_of_the_tenant_and_the_shared_ones(types):
    assert names_listed(people.console(types.viewer)) == ["own", "shared"]
    assert names_listed(people.console(types.staff)) == ["own", "shared", "theirs"]


def test_the_menu_leads_to_the_list(types):
    assert TYPES in people.console(types.viewer).get("/admin/").text


def test_the_list_counts_the_devices_that_the_person_may_see(types):
    Device.objects.update(type=types.shared)
    Device.objects.filter(pk=people.device("gone", types.t0).pk).retire()
    shared = people.console(types.viewer).get(TYPES).context["cl"].result_list[1]
    assert shared.device_count == 1
    shared = people.console(types.staff).get(TYPES).context["cl"].result_list[1]
    assert shared.device_count == 2


def test_a_longer_list_takes_no_more_queries(types):
    client = people.console(types.staff)
    few = len(queries_of(client, TYPES))
    DeviceType.objects.bulk_create(DeviceType(name=f"n{n}", tenant=types.t0) for n in range(30))
    assert len(queries_of(client, TYPES)) == few


def test_an_admin_makes_a_type_of_their_tenant(cast):
    people.console(cast.admin).post(f"{TYPES}add/", NEW | {"tenant": cast.other.pk})
    kind = DeviceType.objects.get()
    assert (kind.name, kind.tenant, kind.retention_days) == ("sensor", cast.t0, 30)
    assert kind.fields == {}


def test_staff_make_types_of_a_tenant_and_shared_ones(cast):
    client = people.console(cast.staff)
    client.post(f"{TYPES}add/", NEW | {"tenant": cast.other.pk})
    client.post(f"{TYPES}add/", NEW | {"name": "shared", "tenant": ""})
    owners = DeviceType.objects.values_list("name", "tenant__slug")
    assert dict(owners) == {"sensor": "other", "shared": None}


@pytest.mark.parametrize("name", ["own", "shared"])
def test_a_name_that_devices_of_the_tenant_could_mean_is_taken(types, name):
    response = people.console(types.admin).post(f"{TYPES}add/", NEW | {"name": name})
    assert errors_of(response) == {"name"}
    assert "There is a device type of this name already" in response.text


def test_a_name_of_another_tenant_is_free(types):
    response = people.console(types.admin).post(f"{TYPES}add/", NEW | {"name": "theirs"})
    assert response.status_code == 302


def test_staff_read_one_sentence_about_a_name_that_is_taken(types):
    sent = NEW | {"name": "own", "tenant": types.t0.pk}
    response = people.console(types.staff).post(f"{TYPES}add/", sent)
    assert errors_of(response) == {"name"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fields", '{"temp": {"colour": "red"}}'),
        ("fields", "{"),
        ("fields", r'{"\ud800": {}}'),
        ("fields", r'{"temp": {"unit": "\u0000"}}'),
        ("fields", '{"temp": {"min": 1e999}}'),
        ("fields", '{"temp": {"max": NaN}}'),
        ("offline_after", "0"),
        ("retention_days", "36501"),
    ],
)
def test_what_makes_no_sense_is_refused(types, name, value):
    response = people.console(types.admin).post(page_of(types.own), NEW | {name: value})
    assert errors_of(response) == {name}


def test_an_admin_changes_a_type_of_their_tenant_but_never_whose_it_is(types):
    sent = NEW | {"tenant": types.other.pk, "fields": '{"temp": {"unit": "°C"}}'}
    people.console(types.admin).post(page_of(types.own), sent)
    kind = DeviceType.objects.get(pk=types.own.pk)
    assert (kind.name, kind.tenant) == ("sensor", types.t0)
    assert kind.fields == {"temp": {"unit": "°C"}}


def test_a_shared_type_is_only_read_but_by_staff(types):
    client = people.console(types.admin)
    assert 'name="_save"' not in client.get(page_of(types.shared)).text
    assert client.post(page_of(types.shared), NEW).status_code == 403
    assert client.get(page_of(types.shared, "delete")).status_code == 403
    assert 'name="_save"' in people.console(types.staff).get(page_of(types.shared)).text


def test_a_shared_type_survives_the_deletion_of_all_that_are_listed(types):
    chosen = [types.own.pk, types.theirs.pk, types.shared.pk]
    action = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert people.console(types.admin).post(TYPES, action).status_code == 403
    assert DeviceType.objects.count() == 3


def test_a_type_that_devices_have_stays(types):
    Device.objects.filter(pk=types.device.pk).update(type=types.own)
    page = people.console(types.admin).post(page_of(types.own, "delete"), {"post": "yes"})
    assert "dev-01" in page.text
    assert DeviceType.objects.filter(pk=types.own.pk).exists()


def test_a_type_that_an_enrolment_key_brings_stays(types):
    people.enrolment_key(by=types.admin, tenant=types.t0, type=types.own, name="Lot 7")
    page = people.console(types.admin).post(page_of(types.own, "delete"), {"post": "yes"})
    assert "Lot 7" in page.text
    assert EnrolmentKey.objects.get().type == types.own


@pytest.mark.parametrize("actor", ["viewer", "operator"])
def test_only_admins_make_types(types, actor):
    client = people.console(getattr(types, actor))
    assert client.get(f"{TYPES}add/").status_code == 403
    assert client.get(page_of(types.own)).status_code == 200


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_a_device_gets_a_type_of_its_tenant_or_a_shared_one(types, kind):
    sent = {"name": "x", "is_enabled": "on", "labels": "", "type": getattr(types, kind).pk}
    for actor in (types.operator, types.staff):
        Device.objects.update(type=None)
        people.console(actor).post(page_of(types.device), sent)
        assert Device.objects.get(pk=types.device.pk).type == getattr(types, kind)


@pytest.mark.parametrize("actor", ["operator", "staff"])
def test_a_device_gets_no_type_of_another_tenant(types, actor):
    client = people.console(getattr(types, actor))
    crafted = {"name": "x", "labels": "", "type": types.theirs.pk}
    assert errors_of(client.post(page_of(types.device), crafted)) == {"type"}
    crafted = NEW_DEVICE | {"tenant": types.t0.pk, "type": types.theirs.pk}
    assert errors_of(client.post(f"{DEVICES}add/", crafted)) == {"type"}


def test_a_new_device_gets_its_type(types):
    people.console(types.operator).post(f"{DEVICES}add/", NEW_DEVICE | {"type": types.own.pk})
    assert Device.objects.get(device_uid="dev-99").type == types.own


def test_the_page_of_a_device_offers_no_type_of_others(types):
    for actor in (types.operator, types.staff):
        page = people.console(actor).get(page_of(types.device)).text
        assert "own</option>" in page
        assert "theirs" not in page
    assert "theirs (other)</option>" in people.console(types.staff).get(f"{DEVICES}add/").text


def test_devices_are_found_by_type(types):
    Device.objects.filter(pk=types.device.pk).update(type=types.own)
    people.device("dev-02", types.t0)
    client = people.console(types.viewer)
    for value, count in ((types.own.pk, 1), (types.theirs.pk, 2), ("x", 2)):
        found = client.get(DEVICES, {"type": value}).context["cl"].result_list
        assert len(found) == count
    assert "theirs" not in client.get(DEVICES).text
