"""Apps on pages of other origins: everybody's in a trial, otherwise those that are listed."""

import pytest
from django.test import Client

APP = "https://app.example"


def preflight(path="/devices", origin=APP):
    return Client().options(
        path,
        headers={
            "origin": origin,
            "access-control-request-method": "GET",
            "access-control-request-headers": "authorization,idempotency-key",
        },
    )


@pytest.fixture
def listed(settings):
    settings.CORS_ALLOW_ALL_ORIGINS = False
    settings.CORS_ALLOWED_ORIGINS = [APP]


def test_in_a_trial_every_origin_may_ask():
    response = preflight()
    assert response["Access-Control-Allow-Origin"] == "*"
    for name in ("authorization", "content-type", "idempotency-key"):
        assert name in response["Access-Control-Allow-Headers"]


def test_a_listed_origin_may_ask(listed):
    assert preflight()["Access-Control-Allow-Origin"] == APP


def test_another_origin_may_not(listed):
    assert "Access-Control-Allow-Origin" not in preflight(origin="https://evil.example")


def test_the_console_is_open_to_no_other_origin():
    assert "Access-Control-Allow-Origin" not in preflight("/admin/login/")


def test_cookies_of_the_console_are_not_let_through():
    assert "Access-Control-Allow-Credentials" not in preflight()


def test_an_app_can_read_where_the_next_page_is_and_whether_a_command_is_an_earlier_one():
    response = Client().get("/devices", headers={"origin": APP})
    for name in ("Link", "Idempotency-Replayed"):
        assert name in response["Access-Control-Expose-Headers"]
