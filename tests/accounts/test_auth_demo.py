"""AUTH_DEMO: anybody may look around, and nobody comes in who has a password by another."""

import pytest

from accounts.models import Role, Tenant, User
from tests import cast as people
from tests.accounts.doors import JUST_FITS, TOO_LONG_TO_KEEP, log_in, with_token

pytestmark = pytest.mark.usefixtures("fast_hashing")
VISITOR = "visitor@example.org"


@pytest.fixture
def demo(settings):
    settings.DEBUG = settings.AUTH_DEMO = True


def test_somebody_unknown_becomes_an_operator_of_t0(demo, cast):
    token = log_in(VISITOR, "anything").json()["access_token"]
    me = with_token(token).get("/auth/me").json()
    assert (me["email"], me["role"], me["tenant"]) == (VISITOR, "operator", "t0")


def test_they_come_back_with_any_password_and_are_the_same(demo, cast):
    assert [log_in(VISITOR, word).status_code for word in ("one", "two")] == [200, 200]
    assert log_in("VISITOR@example.org", "three").status_code == 200
    assert User.objects.filter(email__iexact=VISITOR).count() == 1


def test_an_account_with_a_password_needs_it(demo, ann):
    assert log_in(ann.email, "anything").status_code == 401
    assert log_in(ann.email).status_code == 200


def test_who_set_a_password_needs_it_from_then_on(demo, cast):
    token = log_in(VISITOR, "anything").json()["access_token"]
    body = {"current_password": "whatever", "new_password": people.PASSWORD}
    assert with_token(token).post("/auth/password", body).status_code == 200
    assert [log_in(VISITOR, w).status_code for w in ("x", people.PASSWORD)] == [401, 200]


def test_a_disabled_visitor_stays_out(demo, cast):
    log_in(VISITOR, "anything")
    User.objects.filter(email=VISITOR).update(is_active=False)
    assert log_in(VISITOR, "anything").status_code == 401


@pytest.mark.parametrize("who", ["staff", "admin", "viewer"])
def test_others_whose_password_was_taken_away_are_nobodys_prey(demo, cast, who):
    user = without_password(getattr(cast, who))
    assert log_in(user.email, "anything").status_code == 401


def test_nor_is_an_operator_of_another_tenant(demo, cast):
    user = without_password(people.user("op@other.example", cast.other, Role.OPERATOR))
    assert log_in(user.email, "anything").status_code == 401


def without_password(user: User) -> User:
    user.set_unusable_password()
    user.save()
    return user


@pytest.mark.parametrize("switches", [(True, False), (False, True)])
def test_without_both_switches_nobody_unknown_comes_in(settings, cast, switches):
    settings.DEBUG, settings.AUTH_DEMO = switches
    assert log_in(VISITOR, "anything").status_code == 401
    assert log_in(without_password(cast.operator).email, "anything").status_code == 401
    assert not User.objects.filter(email=VISITOR).exists()


def test_when_it_is_switched_off_visitors_are_not_let_in_again(demo, cast, settings):
    tokens = log_in(VISITOR, "anything").json()
    settings.AUTH_DEMO = False
    assert log_in(VISITOR, "anything").status_code == 401
    body = {"refresh_token": tokens["refresh_token"]}
    assert people.api(None).post("/auth/refresh", body).status_code == 401
    answer = with_token(tokens["access_token"]).get("/devices")
    assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")


def test_a_visitor_opens_the_console_until_it_is_switched_off(demo, cast, client, settings):
    client.post("/admin/login/", {"username": VISITOR, "password": "anything"})
    assert client.get("/admin/").status_code == 200
    settings.AUTH_DEMO = False
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("name", ["visitor", "a b@example.org", "@", "x" * 260 + "@example.org"])
def test_what_is_no_address_becomes_nobody(demo, client, cast, name):
    client.post("/admin/login/", {"username": name, "password": "anything"})
    assert User.objects.count() == 5


def test_an_address_that_grows_too_long_as_it_is_kept_becomes_nobody(demo, cast):
    assert log_in(TOO_LONG_TO_KEEP, "anything").status_code == 401
    assert log_in(JUST_FITS, "anything").status_code == 200


def test_the_tenant_is_made_if_it_is_gone(demo, db):
    Tenant.objects.all().delete()
    assert log_in(VISITOR, "anything").status_code == 200
    assert User.objects.get().role == Role.OPERATOR
    assert User.objects.get().tenant.slug == "t0"
