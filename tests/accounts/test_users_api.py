"""/users: a tenant's admin looks after their people, and nobody gets above their own rights."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from accounts.roles import LEAST_ROLE
from tests import cast as people
from tests.accounts.doors import JUST_FITS, TOO_LONG_TO_KEEP, deleted_meanwhile, log_in
from tests.queries import queries_of

pytestmark = pytest.mark.usefixtures("fast_hashing")
NEW = {"email": "new@t0.example", "role": "operator", "password": "a long password"}


def emails(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [user["email"] for user in answer.json()]


def change(actor: User, user: User, **body):
    return people.api(actor).patch(f"/users/{user.pk}", body)


def at_fault(answer) -> list[str]:
    """The fields that a request was refused for."""
    assert answer.status_code == 400, answer.content
    return list(dict.fromkeys(error["field"] for error in answer.json()["errors"]))


def test_an_admin_sees_the_people_of_the_tenant_by_address(cast):
    people_of_t0 = ["admin@t0.example", "operator@t0.example", "viewer@t0.example"]
    assert emails(people.api(cast.admin).get("/users")) == people_of_t0


def test_staff_see_everybody(cast):
    assert len(emails(people.api(cast.staff).get("/users/"))) == 5


def test_a_user_is_shown_without_anything_of_the_password(cast):
    shown = people.api(cast.admin).get(f"/users/{cast.viewer.pk}").json()
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "id": cast.viewer.pk,
        "email": "viewer@t0.example",
        "role": "viewer",
        "tenant": "t0",
        "is_active": True,
        "is_superuser": False,
        "last_login": None,
    }


@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_who_is_not_of_the_tenant_does_not_exist(cast, who):
    User.objects.filter(pk=cast.staff.pk).update(tenant=cast.t0)
    other = getattr(cast, who)
    assert people.api(cast.admin).get(f"/users/{other.pk}").status_code == 404
    assert change(cast.admin, other, role="viewer").status_code == 404
    assert other.email not in emails(people.api(cast.admin).get("/users"))


@pytest.mark.parametrize("who", ["viewer", "operator"])
def test_only_admins_may(cast, who):
    client = people.api(getattr(cast, who))
    assert client.get("/users").status_code == 403
    assert client.get(f"/users/{cast.viewer.pk}").status_code == 403
    assert client.post("/users", NEW).status_code == 403
    assert change(getattr(cast, who), cast.viewer, role="admin").status_code == 403


def test_nobody_is_deleted(cast):
    assert people.api(cast.staff).delete(f"/users/{cast.viewer.pk}").status_code == 405
    assert people.api(cast.staff).put(f"/users/{cast.viewer.pk}", NEW).status_code == 405


@pytest.mark.parametrize("number", ["0", "9" * 18, "9" * 30, "x", "-1"])
def test_a_number_that_nobody_has_is_not_found(cast, number):
    assert people.api(cast.admin).get(f"/users/{number}").status_code == 404


def test_a_new_user_can_log_in_and_belongs_to_the_tenant_of_the_admin(cast):
    answer = people.api(cast.admin).post("/users", NEW)
    assert answer.status_code == 201
    assert (answer.json()["tenant"], answer.json()["role"]) == ("t0", "operator")
    assert "password" not in answer.json()
    assert log_in(NEW["email"], NEW["password"]).status_code == 200
    assert people.api(cast.admin).get(answer["Location"]).json()["email"] == NEW["email"]


def test_without_a_role_it_is_a_viewer(cast):
    body = {name: NEW[name] for name in ("email", "password")}
    assert people.api(cast.admin).post("/users", body).json()["role"] == "viewer"


def test_staff_name_the_tenant(cast):
    assert at_fault(people.api(cast.staff).post("/users", NEW)) == ["tenant"]
    answer = people.api(cast.staff).post("/users", NEW | {"tenant": "other"})
    assert answer.json()["tenant"] == "other"


def test_an_admin_may_name_their_own_tenant_and_no_other(cast):
    assert people.api(cast.admin).post("/users", NEW | {"tenant": "t0"}).status_code == 201
    for tenant in ("other", "nowhere", None, 1):
        body = NEW | {"email": "two@t0.example", "tenant": tenant}
        assert at_fault(people.api(cast.admin).post("/users", body)) == ["tenant"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", ""),
        ("role", "king"),
        ("password", "short"),
        ("password", "new@t0.example"),
        ("password", "12345678901"),
        ("is_active", "maybe"),
        ("is_superuser", True),
        ("permissions", []),
        ("id", 1),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(cast, field, value):
    assert at_fault(people.api(cast.admin).post("/users", NEW | {field: value})) == [field]
    assert not User.objects.filter(email=NEW["email"]).exists()


def test_a_user_without_a_password_is_not_made(cast):
    assert at_fault(people.api(cast.admin).post("/users", {"email": NEW["email"]})) == ["password"]


@pytest.mark.parametrize(
    "email", ["viewer@t0.example", "VIEWER@T0.example", "Stranger@other.example"]
)
def test_an_address_that_is_taken_is_a_conflict(cast, email):
    answer = people.api(cast.admin).post("/users", NEW | {"email": email})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["detail"] == "There is a user with this e-mail address already."
    assert change(cast.admin, cast.operator, email=email).status_code == 409


def test_an_address_may_change_its_case(cast):
    answer = change(cast.admin, cast.viewer, email="Viewer@T0.EXAMPLE")
    assert answer.json()["email"] == "Viewer@t0.example"


def test_an_address_is_kept_in_one_spelling_and_found_in_others(cast):
    address = "new@O\N{LATIN SMALL LIGATURE FFI}ce.example"
    answer = people.api(cast.admin).post("/users", NEW | {"email": address})
    assert answer.json()["email"] == "new@office.example"
    for spelling in (address, "NEW@office.example"):
        assert log_in(spelling, NEW["password"]).status_code == 200


def test_an_address_that_grows_too_long_as_it_is_kept_is_refused(cast):
    for address, status in ((TOO_LONG_TO_KEEP, 400), (JUST_FITS, 201)):
        answer = people.api(cast.admin).post("/users", NEW | {"email": address})
        assert answer.status_code == status
    assert at_fault(change(cast.admin, cast.viewer, email=TOO_LONG_TO_KEEP)) == ["email"]


def test_who_is_deleted_meanwhile_is_not_found(cast, monkeypatch):
    deleted_meanwhile(User.objects.filter(pk=cast.viewer.pk), monkeypatch)
    assert change(cast.admin, cast.viewer, role="operator").status_code == 404
    assert not LogEntry.objects.exists()


def test_the_history_names_what_has_another_value_by_a_change(cast):
    change(cast.admin, cast.viewer, email=cast.viewer.email, role="operator")
    for body in ({}, {"role": "operator"}, {"is_active": True}):
        assert change(cast.admin, cast.viewer, **body).status_code == 200
    assert LogEntry.objects.get().get_change_message() == "Changed role."


def test_a_role_can_be_changed_and_counts_at_once(cast):
    client = people.api(cast.viewer)
    assert client.get("/users").status_code == 403
    assert change(cast.admin, cast.viewer, role="admin").json()["role"] == "admin"
    assert client.get("/users").status_code == 200


def test_nobody_gives_a_role_above_their_own(cast, monkeypatch):
    for name in ("add_user", "change_user", "view_user"):
        monkeypatch.setitem(LEAST_ROLE, f"accounts.{name}", Role.OPERATOR)
    assert at_fault(change(cast.operator, cast.viewer, role="admin")) == ["role"]
    assert at_fault(people.api(cast.operator).post("/users", NEW | {"role": "admin"})) == ["role"]
    assert change(cast.operator, cast.viewer, role="operator").status_code == 200


def test_nobody_touches_who_has_a_role_above_their_own(cast, monkeypatch):
    for name in ("change_user", "view_user"):
        monkeypatch.setitem(LEAST_ROLE, f"accounts.{name}", Role.OPERATOR)
    assert change(cast.operator, cast.admin, password="a long password").status_code == 403


@pytest.mark.parametrize("who", ["admin", "staff"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "me@t0.example"),
        ("role", "viewer"),
        ("is_active", False),
        ("password", "a long password"),
        ("password", "the hash of no password"),
    ],
)
def test_nobody_changes_their_own_rights(cast, who, field, value):
    me = getattr(cast, who)
    assert at_fault(change(me, me, **{field: value})) == [field]
    assert people.api(me).get("/auth/me").status_code == 200


def test_sending_oneself_back_unchanged_is_fine(cast):
    me = {"email": cast.admin.email, "role": "admin", "is_active": True}
    assert change(cast.admin, cast.admin, **me).status_code == 200


def test_nobody_becomes_staff_over_the_api(cast):
    assert at_fault(change(cast.staff, cast.viewer, is_superuser=True)) == ["is_superuser"]


def test_staff_move_people_to_another_tenant_but_not_to_none(cast):
    assert change(cast.staff, cast.viewer, tenant="other").json()["tenant"] == "other"
    assert at_fault(change(cast.staff, cast.viewer, tenant=None)) == ["tenant"]
    assert change(cast.staff, cast.staff, tenant=None).status_code == 200


def test_an_admin_does_not_move_anybody(cast):
    assert at_fault(change(cast.admin, cast.viewer, tenant="other")) == ["tenant"]


def test_a_new_password_for_somebody_ends_their_tokens_and_is_in_the_history(ann, cast):
    client = people.api(ann)
    assert change(cast.admin, ann, password="a long password").status_code == 200
    assert client.get("/auth/me").status_code == 401
    assert log_in(ann.email, "a long password").status_code == 200
    entry = LogEntry.objects.get(object_id=ann.pk)
    assert (entry.user, entry.get_change_message()) == (cast.admin, "Changed password.")


def test_a_weak_password_for_somebody_is_refused(cast):
    assert at_fault(change(cast.admin, cast.viewer, password="viewer@t0.example")) == ["password"]


def test_a_change_writes_what_was_sent_and_nothing_else(cast):
    client = people.api(cast.admin)
    with CaptureQueriesContext(connection) as captured:
        client.patch(f"/users/{cast.viewer.pk}", {"role": "operator"})
    (update,) = [q["sql"] for q in captured if q["sql"].startswith('UPDATE "accounts_user"')]
    assert update.startswith('UPDATE "accounts_user" SET "role" = \'operator\' WHERE')


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("role=viewer", ["viewer@t0.example"]),
        ("is_active=false", ["operator@t0.example"]),
        ("search=DMIN", ["admin@t0.example"]),
        ("tenant=t0&role=admin", ["admin@t0.example"]),
        ("tenant=other", []),
        ("search=stranger", []),
        ("search=%25", []),
        ("limit=1", ["admin@t0.example"]),
    ],
)
def test_the_list_can_be_narrowed(cast, query, expected):
    User.objects.filter(pk=cast.operator.pk).update(is_active=False)
    assert emails(people.api(cast.admin).get(f"/users?{query}")) == expected


@pytest.mark.parametrize(
    "query", ["role=king", "is_active=maybe", "rol=viewer", "password=x", "search=%00", "limit=0"]
)
def test_a_filter_that_means_nothing_is_refused(cast, query):
    assert at_fault(people.api(cast.admin).get(f"/users?{query}")) == [query.partition("=")[0]]


def test_a_long_list_comes_in_pages(cast):
    client = people.api(cast.staff)
    answer = client.get("/users?limit=2")
    url = answer["Link"].partition(">")[0].removeprefix("<")
    assert (
        emails(answer) + emails(client.get(url))
        == sorted([*User.objects.values_list("email", flat=True)])[:4]
    )


def test_a_longer_list_takes_no_more_queries(cast):
    for number in range(10):
        people.user(f"user-{number}@t0.example", cast.t0)
    # One for the person who asks, one for the list.
    assert len(queries_of(people.api(cast.admin), "/users")) == 2


def test_the_browsable_pages_work(cast):
    browser = people.console(cast.admin)
    for path in ("/users", f"/users/{cast.viewer.pk}", "/auth/me", "/auth/login", "/tenants/t0"):
        answer = browser.get(path, HTTP_ACCEPT="text/html")
        # There is nothing to read at a door, but a form.
        assert answer.status_code == (405 if path == "/auth/login" else 200), path
        assert answer["Content-Type"].startswith("text/html"), path
