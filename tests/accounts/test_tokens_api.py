"""Tokens: how long they are good, what ends them, and that nothing odd passes for one."""

import threading
import time
from datetime import timedelta

import jwt
import pytest
from django.conf import settings as live
from django.db import connection
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from accounts.tokens import Refresh, pair_for
from tests import cast as people
from tests.accounts.doors import log_in, with_token
from tests.queries import queries_of

NEW = "quite another password"


def refresh(token: str):
    return people.api(None).post("/auth/refresh", {"refresh_token": token})


def log_out(token: str):
    return people.api(None).post("/auth/logout", {"refresh_token": token})


def is_good(token: str) -> bool:
    """Whether an access token opens anything."""
    return with_token(token).get("/auth/me").status_code == 200


def signed(**claims) -> str:
    """A token with our signature."""
    later = int(timezone.now().timestamp()) + 3600
    return jwt.encode({"exp": later, **claims}, live.JWT_SECRET, "HS256")


@pytest.fixture
def tokens(ann) -> dict[str, str]:
    return log_in(ann.email).json()


def test_a_refresh_token_is_exchanged_for_new_ones(tokens):
    answer = refresh(tokens["refresh_token"])
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert set(answer.json()) == set(tokens)
    assert is_good(answer.json()["access_token"])


def test_a_refresh_token_is_good_for_once(tokens):
    new = refresh(tokens["refresh_token"]).json()
    assert refresh(tokens["refresh_token"]).status_code == 401
    assert refresh(new["refresh_token"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_it_at_once_one_gets_new_tokens(tokens):
    start, answers = threading.Barrier(2), []

    def use() -> None:
        start.wait(10)
        answers.append(refresh(tokens["refresh_token"]).status_code)
        connection.close()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [200, 401]


def test_after_a_logout_the_refresh_token_is_no_good(tokens):
    assert log_out(tokens["refresh_token"]).status_code == 204
    assert refresh(tokens["refresh_token"]).status_code == 401


def test_logging_out_again_or_with_nonsense_is_the_same(tokens):
    answers = [log_out(text) for text in 2 * [tokens["refresh_token"]] + ["nonsense"]]
    assert [(a.status_code, a.content) for a in answers] == 3 * [(204, b"")]


def test_no_token_that_works_is_kept_in_the_database(tokens):
    assert not OutstandingToken.objects.exists()
    new = refresh(tokens["refresh_token"]).json()["refresh_token"]
    assert not OutstandingToken.objects.filter(token=new).exists()
    assert BlacklistedToken.objects.count() == 1


def test_a_disabled_user_is_out_at_once(ann, tokens):
    assert is_good(tokens["access_token"])
    people.api(User.objects.get(email="admin@t0.example")).patch(
        f"/users/{ann.pk}", {"is_active": False}
    )
    answer = with_token(tokens["access_token"]).get("/devices")
    assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")
    assert refresh(tokens["refresh_token"]).status_code == 401


def test_who_is_enabled_again_goes_on_where_they_were(ann, tokens):
    for is_active in (False, True):
        User.objects.filter(pk=ann.pk).update(is_active=is_active)
    assert is_good(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 200


def test_a_deleted_user_is_out_at_once(ann, tokens):
    ann.delete()
    assert not is_good(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 401
    assert log_out(tokens["refresh_token"]).status_code == 204


def test_a_new_password_ends_all_other_tokens_and_gives_new_ones(ann, tokens):
    body = {"current_password": people.PASSWORD, "new_password": NEW}
    answer = with_token(tokens["access_token"]).post("/auth/password", body)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert not is_good(tokens["access_token"])
    assert refresh(tokens["refresh_token"]).status_code == 401
    assert is_good(answer.json()["access_token"])
    assert refresh(answer.json()["refresh_token"]).status_code == 200
    assert (log_in(ann.email).status_code, log_in(ann.email, NEW).status_code) == (401, 200)


def test_a_new_password_ends_the_sessions_of_the_console(ann):
    browser = people.console(ann)
    body = {"current_password": people.PASSWORD, "new_password": NEW}
    people.api(ann).post("/auth/password", body)
    assert browser.get("/admin/").status_code == 302


def test_a_new_password_needs_the_current_one(ann):
    body = {"current_password": "wrong", "new_password": NEW}
    answer = people.api(ann).post("/auth/password", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "current_password"
    assert log_in(ann.email).status_code == 200


@pytest.mark.parametrize(
    "weak", ["short", "password1", "83741983719", "ann@t0.example", "x" * 2000]
)
def test_a_weak_password_is_refused_with_the_reason(ann, weak):
    body = {"current_password": people.PASSWORD, "new_password": weak}
    answer = people.api(ann).post("/auth/password", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "new_password"


def test_nobody_changes_a_password_without_a_token(db):
    body = {"current_password": "x", "new_password": NEW}
    assert people.api(None).post("/auth/password", body).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_scheme_may_be_written_as_the_login_spells_it(tokens, scheme):
    assert with_token(tokens["access_token"], scheme).get("/auth/me").status_code == 200


def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(tokens):
    assert not is_good(tokens["refresh_token"])
    assert refresh(tokens["access_token"]).status_code == 401


def test_a_token_that_ran_out_is_no_good(ann):
    token, other = AccessToken.for_user(ann), Refresh.for_user(ann)
    for old in (token, other):
        old.set_exp(from_time=timezone.now() - timedelta(days=60))
    assert not is_good(str(token))
    assert refresh(str(other)).status_code == 401


def test_a_token_runs_out_while_it_is_in_use(ann):
    token = AccessToken.for_user(ann)
    token.set_exp(lifetime=timedelta(seconds=2))
    assert is_good(str(token))
    end = time.monotonic() + 10
    while is_good(str(token)):
        assert time.monotonic() < end


@pytest.mark.parametrize(
    "claims",
    [
        # What the service before this one signed with the same secret.
        {"sub": "ann@t0.example"},
        {"sub": "ann@t0.example", "jti": "1", "token_type": "refresh"},
        {"sub": "ann@t0.example", "jti": "1", "token_type": "access"},
        {"sub": "9" * 30, "jti": "1", "token_type": "refresh"},
        {"sub": "abc", "jti": "1", "token_type": "refresh"},
        {"jti": "1", "token_type": "refresh"},
        {"jti": "1", "token_type": "access"},
    ],
)
def test_a_token_with_our_signature_and_odd_contents_is_refused(db, claims):
    assert refresh(signed(**claims)).status_code == 401
    assert log_out(signed(**claims)).status_code == 204
    assert with_token(signed(**claims)).get("/auth/me").status_code == 401


@pytest.mark.parametrize("text", ["x", "a.b.c", "é", "eyJhbGciOiJub25lIn0.e30.", "." * 500])
def test_what_is_no_token_at_all_is_refused(db, text):
    answer = refresh(text)
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
    assert answer.json()["detail"].endswith("Log in again.")


def test_a_token_of_another_secret_is_refused(ann):
    claims = jwt.decode(pair_for(ann)["access_token"], options={"verify_signature": False})
    assert not is_good(jwt.encode(claims, "another secret of more than 32 bytes", "HS256"))


def test_knowing_who_asks_takes_one_query(cast):
    assert len(queries_of(people.api(cast.staff), "/auth/me")) == 1
