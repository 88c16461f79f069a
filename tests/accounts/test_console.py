"""The console's frame: the language of its pages, and the tenant that platform staff work in."""

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import Tenant, User
from devices.models import Device, DeviceType, EnrolmentKey
from tests import cast as people
from tests.queries import queries_of

HOME = "/admin/"
LANGUAGE = "/admin/accounts/user/language/"
SWITCH = "/admin/accounts/tenant/switch/"
DEVICES = "/admin/devices/device/"


def page_language(client, path=HOME, **headers) -> str:
    answer = client.get(path, headers=headers)
    assert f'<html lang="{answer["Content-Language"]}"' in answer.text
    return answer["Content-Language"]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("vi", "vi"), ("vi-VN,vi;q=0.9,en;q=0.5", "vi"), ("fr, en;q=0.1", "en"), ("fr", "en")],
)
def test_a_page_is_in_the_language_that_the_browser_asks_for(cast, client, asked, answered):
    headers = {"Accept-Language": asked}
    assert page_language(client, "/admin/login/", **headers) == answered
    assert page_language(people.console(cast.viewer), **headers) == answered


def test_caches_keep_languages_and_people_apart(cast):
    answer = people.console(cast.viewer).get(HOME)
    assert {"Accept-Language", "Cookie"} <= set(answer["Vary"].split(", "))
    assert "no-store" in answer["Cache-Control"]


def test_a_language_that_a_person_chose_counts_more_than_their_browsers(cast):
    client = people.console(cast.viewer)
    page = {"Referer": f"http://testserver{DEVICES}"}
    there = client.post(LANGUAGE, {"language": "vi"}, headers=page)
    assert there.url.endswith(DEVICES)
    assert page_language(client, **{"Accept-Language": "en"}) == "vi"
    assert page_language(people.console(cast.admin), **{"Accept-Language": "en"}) == "en"


def test_a_person_lets_the_browser_decide_again(cast):
    User.objects.update(language="vi")
    client = people.console(cast.viewer)
    client.post(LANGUAGE, {"language": ""})
    assert page_language(client, **{"Accept-Language": "en"}) == "en"
    assert LogEntry.objects.get().get_change_message() == "Changed language."


@pytest.mark.parametrize("language", ["fr", "en\0", "vi " * 99])
def test_a_language_that_there_is_none_of_is_refused(cast, language):
    assert people.console(cast.viewer).post(LANGUAGE, {"language": language}).status_code == 400


def test_a_form_of_the_frame_leads_to_no_other_site(cast):
    headers = {"Referer": "http://elsewhere.example/admin/devices/device/"}
    answer = people.console(cast.viewer).post(LANGUAGE, {"language": "vi"}, headers=headers)
    assert answer.url == HOME


def test_the_api_speaks_english_whoever_asks(cast):
    User.objects.update(language="vi")
    answer = people.api(cast.viewer).get("/devices/no", headers={"Accept-Language": "vi"})
    assert "Content-Language" not in answer
    assert answer.json()["title"] == "Not Found"


NO_FIELDS = {"fields": "{}"}


@pytest.fixture
def staff(cast):
    """Platform staff who have narrowed their view to the tenant `other`."""
    client = people.console(cast.staff)
    assert client.post(SWITCH, {"tenant": cast.other.pk}).url == HOME
    return client


def test_staff_see_all_tenants_until_they_choose_one_and_again_after(cast):
    client = people.console(cast.staff)
    for tenant, seen in (("", 2), (cast.other.pk, 1), ("", 2)):
        client.post(SWITCH, {"tenant": tenant})
        assert client.get(DEVICES).context["cl"].result_count == seen


def test_the_chosen_tenant_stands_on_every_page_with_a_way_to_leave(staff):
    page = staff.get(DEVICES).text
    assert "Only this tenant is shown:" in page
    assert 'aria-label="Show all tenants"' in page
    staff.post(SWITCH, {"tenant": ""})
    assert "Only this tenant is shown:" not in staff.get(DEVICES).text


def test_switching_on_a_list_comes_back_to_it_and_elsewhere_goes_home(cast, staff):
    def after(page: str) -> str:
        headers = {"Referer": f"http://testserver{page}"}
        return staff.post(SWITCH, {"tenant": cast.t0.pk}, headers=headers).url

    assert after(f"{DEVICES}?tenant__id__exact=7") == DEVICES
    assert after(f"{DEVICES}{cast.foreign.pk}/change/") == HOME
    assert after("/nowhere/") == HOME


@pytest.mark.parametrize("tenant", ["0", "-1", "x", "9" * 40, "٣", "1 OR 1"])
def test_a_tenant_that_there_is_none_of_is_refused(cast, tenant):
    client = people.console(cast.staff)
    assert client.post(SWITCH, {"tenant": tenant}).status_code == 400


def test_what_belongs_to_another_tenant_is_not_found_meanwhile(cast, staff):
    assert staff.get(f"{DEVICES}{cast.device.pk}/change/").status_code == 404
    assert staff.get(f"{DEVICES}{cast.foreign.pk}/change/").status_code == 200


def test_what_staff_make_meanwhile_belongs_to_that_tenant(cast, staff):
    staff.post(f"{DEVICES}add/", {"device_uid": "new-01", "name": "", "is_enabled": "on"})
    staff.post("/admin/devices/devicetype/add/", {"name": "Sensor"} | NO_FIELDS)
    key = {"name": "Lot", "quota": 1, "days": 1}
    staff.post("/admin/devices/enrolmentkey/add/", key)
    assert Device.objects.get(device_uid="new-01").tenant == cast.other
    assert DeviceType.objects.get(name="Sensor").tenant == cast.other
    assert EnrolmentKey.objects.get().tenant == cast.other


def test_a_tenant_that_is_deleted_meanwhile_is_left(cast):
    client, tenant = people.console(cast.staff), Tenant.objects.create(slug="brief")
    client.post(SWITCH, {"tenant": tenant.pk})
    tenant.delete()
    assert client.get(DEVICES).context["cl"].result_count == 2


def test_rights_stay_those_of_staff(cast, staff):
    page = reverse("admin:accounts_tenant_change", args=[cast.other.pk])
    staff.post(page, {"name": "Renamed"})
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (cast.staff, "Renamed")
    cast.staff.refresh_from_db()
    assert cast.staff.tenant is None


@pytest.mark.parametrize("actor", ["viewer", "operator", "admin"])
def test_nobody_but_staff_switches(cast, actor):
    client = people.console(getattr(cast, actor))
    assert "openTenants" not in client.get(HOME).text
    assert client.post(SWITCH, {"tenant": cast.other.pk}).status_code == 403
    session = client.session
    session["tenant"] = cast.other.pk
    session.save()
    assert client.get(DEVICES).context["cl"].result_count == 1
    assert client.get(f"{DEVICES}{cast.foreign.pk}/change/").status_code == 404


def test_who_is_of_staff_no_more_sees_their_own_tenant(cast, staff):
    User.objects.filter(pk=cast.staff.pk).update(is_superuser=False, tenant=cast.t0)
    assert staff.get(f"{DEVICES}{cast.foreign.pk}/change/").status_code == 404
    assert staff.get(f"{DEVICES}{cast.device.pk}/change/").status_code == 200


def test_the_frame_costs_no_query_of_a_person_of_a_tenant(cast):
    of_person = queries_of(people.console(cast.viewer), "/admin/password_change/")
    of_staff = queries_of(people.console(cast.staff), "/admin/password_change/")
    assert not [sql for sql in of_person if "accounts_tenant" in sql and 'slug" LIMIT' in sql]
    assert len(of_staff) <= len(of_person) + 1


def test_the_list_of_tenants_leads_into_each_of_them(cast):
    button = f'formaction="{SWITCH}" name="tenant" value="{cast.other.pk}"'
    assert button in people.console(cast.staff).get("/admin/accounts/tenant/").text
    assert button not in people.console(cast.stranger).get("/admin/accounts/tenant/").text


def test_a_switch_shows_staff_what_the_tenants_own_people_see_and_a_tenant_nothing_more(cast):
    """Of every model that has a rule of who may see what."""
    models = [model for model in apps.get_models() if hasattr(model.objects, "visible_to")]
    assert len(models) >= 10
    for tenant in (cast.t0, cast.other):
        people.rejected(tenant)
        people.enrolment_key(tenant, cast.staff)
        people.batch(tenant)
        DeviceType.objects.create(name=f"of {tenant}", tenant=tenant)
    people.rejected(None)
    DeviceType.objects.create(name="shared", tenant=None)
    for person, tenant in ((cast.admin, cast.t0), (cast.stranger, cast.other)):
        cast.staff.switched_to, person.switched_to = tenant, None
        for model in models:
            seen = set(model.objects.visible_to(person))
            assert set(model.objects.visible_to(cast.staff)) == seen, model
            # Were it ever set on somebody of a tenant, it would be nothing to them.
            person.switched_to = cast.other if tenant == cast.t0 else cast.t0
            assert set(model.objects.visible_to(person)) == seen, model
            person.switched_to = None
