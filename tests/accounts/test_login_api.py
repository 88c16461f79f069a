"""POST /auth/login: who gets in, what the answer is, and that it tells strangers nothing."""

from datetime import timedelta
from unittest.mock import patch

import jwt
import pytest
from django.conf import settings as live
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils import timezone

from accounts.logins import WRONG
from accounts.models import User
from tests import cast as people
from tests.accounts.doors import log_in, with_token


def test_the_right_password_is_answered_with_tokens(ann):
    answer = log_in(ann.email)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "refresh_token", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 3600)


def test_nobody_on_the_way_keeps_the_tokens(ann):
    assert log_in(ann.email)["Cache-Control"] == "no-store"


def test_an_access_token_is_hs256_and_names_the_user_for_an_hour(ann):
    token = log_in(ann.email).json()["access_token"]
    claims = jwt.decode(token, live.JWT_SECRET, algorithms=["HS256"])
    assert claims["sub"] == str(ann.pk)
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - timezone.now().timestamp()) < 60


def test_the_address_may_be_cased_in_any_way_and_the_path_end_in_a_slash(ann):
    assert log_in("ANN@T0.example", path="/auth/login/").status_code == 200


def test_a_login_is_noted(ann):
    log_in(ann.email)
    ann.refresh_from_db()
    assert timezone.now() - ann.last_login < timedelta(minutes=1)


def test_a_wrong_password_and_an_unknown_or_disabled_user_have_the_same_answer(ann, cast):
    people.user("off@t0.example", cast.t0, password=people.PASSWORD, is_active=False)
    answers = [
        log_in(ann.email, "wrong"),
        log_in("nobody@t0.example"),
        log_in("off@t0.example"),
        log_in(cast.viewer.email),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert (answers[0].json()["detail"], answers[0].json()["code"]) == (WRONG, "wrong_credentials")
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("who", ["ann", "nobody", "off", "viewer"])
def test_each_of_them_costs_one_hash_by_argon2(cast, who):
    people.user("ann@t0.example", cast.t0, password=people.PASSWORD)
    people.user("off@t0.example", cast.t0, password=people.PASSWORD, is_active=False)
    work = []
    with (
        patch.object(Argon2PasswordHasher, "encode", count(Argon2PasswordHasher.encode, work)),
        patch.object(Argon2PasswordHasher, "verify", count(Argon2PasswordHasher.verify, work)),
    ):
        log_in(f"{who}@t0.example", "wrong")
    assert len(work) == 1


def count(method, calls):
    def counting(*arguments, **options):
        calls.append(method)
        return method(*arguments, **options)

    return counting


def test_passwords_are_kept_as_argon2_makes_them(cast):
    user = people.user("new@t0.example", cast.t0, password=people.PASSWORD)
    assert user.password.startswith("argon2$argon2id$")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "ann@t0.example"}, "password"),
        ({"password": "x"}, "email"),
        ({"email": "ann", "password": "x"}, "email"),
        ({"email": "ann@t0.example", "password": ""}, "password"),
        ({"email": "ann@t0.example", "password": None}, "password"),
        ({"email": ["ann@t0.example"], "password": "x"}, "email"),
        ({"email": "ann@t0.example", "password": "x", "remember": True}, "remember"),
        ({"email": f"{'a' * 250}@t0.example", "password": "x"}, "email"),
    ],
)
def test_what_is_no_login_is_refused_with_the_field(db, body, field):
    answer = people.api(None).post("/auth/login", body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_password_with_spaces_around_is_not_trimmed(ann):
    ann.set_password(" ends in a space ")
    ann.save()
    assert log_in(ann.email, " ends in a space ").status_code == 200
    assert log_in(ann.email, "ends in a space").status_code == 401


def test_an_old_token_in_the_header_does_not_keep_anybody_out(ann):
    client = with_token("ran.out.long-ago")
    body = {"email": ann.email, "password": people.PASSWORD}
    assert client.post("/auth/login", body).status_code == 200


def test_reading_the_door_is_no_way_in(db):
    assert people.api(None).get("/auth/login").status_code == 405


def test_who_logged_in_is_told_who_they_are(ann):
    ann.refresh_from_db()
    assert people.api(ann).get("/auth/me").json() == {
        "id": ann.pk,
        "email": "ann@t0.example",
        "role": "viewer",
        "tenant": "t0",
        "is_superuser": False,
        "permissions": [
            "devices.view_alert",
            "devices.view_command",
            "devices.view_commandbatch",
            "devices.view_device",
            "devices.view_devicestate",
            "devices.view_devicetype",
            "telemetry.view_telemetry",
        ],
    }


def test_staff_have_no_tenant_and_every_permission(cast):
    me = people.api(cast.staff).get("/auth/me").json()
    assert (me["tenant"], me["is_superuser"]) == (None, True)
    assert "accounts.change_user" in me["permissions"]


def test_nobody_is_told_nothing(db):
    assert people.api(None).get("/auth/me").status_code == 401


def test_a_password_of_an_older_hasher_works_and_is_hashed_anew(cast, settings):
    first, *_ = settings.PASSWORD_HASHERS
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = people.user("old@t0.example", cast.t0, password=people.PASSWORD)
    settings.PASSWORD_HASHERS = [first, *settings.PASSWORD_HASHERS]
    tokens = log_in(user.email).json()
    assert User.objects.get(pk=user.pk).password.startswith("argon2")
    # The tokens are of the new hash: a change of the hash ends those of the old one.
    assert with_token(tokens["access_token"]).get("/auth/me").status_code == 200
