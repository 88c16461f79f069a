"""The console's pages of users and tenants: what their forms create, offer and refuse."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role, Tenant, User
from tests import cast as people
from tests.accounts.doors import JUST_FITS, TOO_LONG_TO_KEEP
from tests.queries import queries_of

USERS = "/admin/accounts/user/"
NEW = {
    "email": "new@t0.example",
    "role": "operator",
    "password1": "a long password",
    "password2": "a long password",
}


def change_page(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def field_names(response) -> set[str]:
    return set(response.context["adminform"].form.fields)


def test_a_tenants_admin_creates_a_user_of_that_tenant(cast):
    people.console(cast.admin).post(f"{USERS}add/", NEW)
    user = User.objects.get(email="new@t0.example")
    assert (user.tenant, user.role, user.is_superuser) == (cast.t0, Role.OPERATOR, False)
    assert user.check_password("a long password")


def test_a_tenants_admin_cannot_create_superusers_or_users_of_others(cast):
    crafted = NEW | {"is_superuser": "on", "tenant": cast.other.pk}
    people.console(cast.admin).post(f"{USERS}add/", crafted)
    user = User.objects.get(email="new@t0.example")
    assert (user.tenant, user.is_superuser) == (cast.t0, False)


def test_a_tenants_admin_cannot_make_anybody_a_superuser_or_move_them(cast):
    crafted = {"email": cast.viewer.email, "role": "admin", "is_active": "on"}
    crafted |= {"is_superuser": "on", "tenant": cast.other.pk}
    people.console(cast.admin).post(change_page(cast.viewer), crafted)
    cast.viewer.refresh_from_db()
    assert (cast.viewer.role, cast.viewer.is_superuser) == (Role.ADMIN, False)
    assert cast.viewer.tenant == cast.t0


@pytest.mark.parametrize("who", ["admin", "staff"])
def test_nobody_takes_rights_from_themself(cast, who):
    me = getattr(cast, who)
    people.console(me).post(change_page(me), {"email": "me@t0.example", "role": "viewer"})
    me.refresh_from_db()
    assert (me.email, me.role, me.is_active) == ("me@t0.example", Role.ADMIN, True)
    assert me.is_superuser == (who == "staff")


def test_rights_outside_the_table_are_offered_to_nobody(cast):
    offered = field_names(people.console(cast.staff).get(change_page(cast.viewer)))
    assert offered == {"email", "password", "tenant", "role", "is_active", "is_superuser"}


def test_a_tenants_admin_is_offered_no_tenant(cast):
    offered = field_names(people.console(cast.admin).get(change_page(cast.viewer)))
    assert offered == {"email", "password", "role", "is_active"}


def test_staff_choose_the_tenant_of_a_new_user(cast):
    people.console(cast.staff).post(f"{USERS}add/", NEW | {"tenant": cast.other.pk})
    assert User.objects.get(email="new@t0.example").tenant == cast.other


def test_a_user_without_a_tenant_is_refused_with_a_hint(cast):
    response = people.console(cast.staff).post(f"{USERS}add/", NEW)
    assert "Choose a tenant" in response.text
    assert not User.objects.filter(email="new@t0.example").exists()


def test_staff_create_staff(cast):
    people.console(cast.staff).post(f"{USERS}add/", NEW | {"is_superuser": "on"})
    assert User.objects.get(email="new@t0.example").is_superuser


def test_an_address_that_is_taken_is_refused_with_a_hint(cast):
    response = people.console(cast.admin).post(f"{USERS}add/", NEW | {"email": "VIEWER@t0.example"})
    assert "There is a user with this e-mail address already." in response.text


def test_an_address_that_grows_too_long_as_it_is_kept_is_refused_with_a_hint(cast):
    client = people.console(cast.admin)
    for page in (f"{USERS}add/", change_page(cast.viewer)):
        response = client.post(page, NEW | {"email": TOO_LONG_TO_KEEP})
        assert "has at most 254 characters" in response.text
    assert client.post(f"{USERS}add/", NEW | {"email": JUST_FITS}).status_code == 302


@pytest.mark.parametrize("password", ["", "short", "12345678901", "new@t0.example"])
def test_a_bad_password_is_refused(cast, password):
    crafted = NEW | {"password1": password, "password2": password}
    people.console(cast.admin).post(f"{USERS}add/", crafted)
    assert not User.objects.filter(email="new@t0.example").exists()


def test_a_password_is_changed_on_a_page_of_its_own(cast):
    page = reverse("admin:auth_user_password_change", args=[cast.viewer.pk])
    new = {"password1": "another long one", "password2": "another long one"}
    assert people.console(cast.admin).post(page, new).status_code == 302
    cast.viewer.refresh_from_db()
    assert cast.viewer.check_password("another long one")


def test_the_password_of_staff_is_out_of_reach_even_inside_the_tenant(cast):
    User.objects.filter(pk=cast.staff.pk).update(tenant=cast.t0)
    page = reverse("admin:auth_user_password_change", args=[cast.staff.pk])
    new = {"password1": "another long one", "password2": "another long one"}
    assert people.console(cast.admin).post(page, new).status_code == 404


def test_the_list_of_users_cannot_be_searched_by_password(cast):
    response = people.console(cast.admin).get(USERS, {"password__startswith": "argon2"})
    assert response.status_code == 400


def test_the_list_shows_the_people_of_the_tenant(cast):
    page = people.console(cast.admin).get(USERS).text
    assert cast.operator.email in page
    assert cast.stranger.email not in page
    assert cast.other.name not in page


def test_a_user_who_was_switched_off_is_out_at_once(cast):
    client = people.console(cast.viewer)
    fields = {"email": cast.viewer.email, "role": "viewer"}
    people.console(cast.admin).post(change_page(cast.viewer), fields)
    assert client.get("/admin/").status_code == 302


def test_what_was_changed_and_by_whom_is_in_the_history(cast):
    fields = {"email": cast.viewer.email, "role": "operator", "is_active": "on"}
    people.console(cast.admin).post(change_page(cast.viewer), fields)
    entry = LogEntry.objects.get(object_id=cast.viewer.pk)
    assert (entry.user, entry.get_change_message()) == (cast.admin, "Changed Role.")


def test_a_tenants_admin_renames_the_tenant_and_nothing_else(cast):
    page = reverse("admin:accounts_tenant_change", args=[cast.t0.pk])
    sent = {"name": "Acme", "slug": "acme", "retention_days": 1}
    people.console(cast.admin).post(page, sent)
    cast.t0.refresh_from_db()
    assert (cast.t0.name, cast.t0.slug, cast.t0.retention_days) == ("Acme", "t0", None)


def test_staff_say_for_how_long_a_tenant_keeps_readings(cast, settings):
    client = people.console(cast.staff)
    page = reverse("admin:accounts_tenant_change", args=[cast.t0.pk])
    client.post(page, {"name": "t0", "retention_days": 30})
    cast.t0.refresh_from_db()
    assert cast.t0.retention_days == 30
    answer = client.post(page, {"name": "t0", "retention_days": settings.HISTORY_DAYS + 1})
    assert "The platform keeps readings for 400 days (HISTORY_DAYS), and none" in answer.text


def test_staff_create_a_tenant(cast):
    people.console(cast.staff).post("/admin/accounts/tenant/add/", {"slug": "acme", "name": "Acme"})
    assert Tenant.objects.get(slug="acme").name == "Acme"


def test_a_tenant_with_devices_is_not_deleted(cast):
    page = reverse("admin:accounts_tenant_delete", args=[cast.t0.pk])
    people.console(cast.staff).post(page, {"post": "yes"})
    assert Tenant.objects.filter(pk=cast.t0.pk).exists()


def test_and_what_is_in_it_is_not_read_to_find_that_out(cast):
    people.rejected(cast.other)
    client = people.console(cast.staff)
    page = reverse("admin:accounts_tenant_delete", args=[cast.other.pk])
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(page)
    assert "Other Ltd: rejected messages" in answer.text
    assert not [query["sql"] for query in captured if "payload" in query["sql"]]


def test_a_filter_with_a_nul_is_refused(cast):
    response = people.console(cast.staff).get(USERS, {"role__exact": "\0"})
    assert response.status_code == 400


@pytest.mark.parametrize("page", [USERS, "/admin/accounts/tenant/"])
def test_a_longer_list_takes_no_more_queries(cast, page):
    client = people.console(cast.staff)
    few = len(queries_of(client, page))
    for number in range(10):
        tenant = Tenant.objects.create(slug=f"t-{number}", name=f"T {number}")
        people.user(f"user-{number}@t.example", tenant)
    assert len(queries_of(client, page)) == few
