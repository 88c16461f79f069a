"""Errors have one shape, whoever finds them: a view, the framework, or Django itself."""

from http import HTTPStatus

import pytest
from django.db import OperationalError
from django.test import Client
from rest_framework.exceptions import ErrorDetail, ValidationError

from devices.models import Device
from iotplatform.rest import problems
from tests.cast import api


def shape(response):
    """The body of a problem, seen to be one."""
    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert body["status"] == response.status_code
    assert body["type"] == "about:blank"
    assert body["title"] == HTTPStatus(response.status_code).phrase
    assert body["detail"]
    return body


def post(client, body, content_type="application/json", **headers):
    return client.post("/devices", body, content_type=content_type, **headers)


def test_a_wrong_parameter_is_named_and_the_possible_ones_are_listed(cast):
    body = shape(api(cast.viewer).get("/devices?serach=x"))
    assert (body["status"], body["code"]) == (400, "invalid")
    assert [each["field"] for each in body["errors"]] == ["serach"]
    assert "search" in body["errors"][0]["detail"]


def test_who_is_not_logged_in_is_told_how_to_be(db):
    response = api(None).get("/devices")
    assert shape(response)["status"] == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "x y", ""])
def test_a_token_that_is_none_is_refused(db, token):
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert shape(client.get("/devices"))["status"] == 401


def test_who_may_not_is_told_so(cast):
    assert shape(post(api(cast.viewer), "{}"))["code"] == "permission_denied"


def test_what_another_tenant_has_does_not_exist(cast):
    assert shape(api(cast.viewer).get("/devices/foreign-01"))["status"] == 404


@pytest.mark.parametrize("debug", [False, True])
def test_an_address_that_leads_nowhere_is_no_page_for_a_program(db, settings, debug):
    settings.DEBUG = debug
    assert shape(Client().get("/nothing"))["code"] == "not_found"


def test_a_person_gets_a_page_instead(db):
    response = Client().get("/nothing", headers={"accept": "text/html"})
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_a_method_that_is_not_there_is_refused(cast):
    response = api(cast.staff).put("/devices/dev-01", {})
    assert shape(response)["status"] == 405
    assert "PATCH" in response["Allow"]


def test_what_is_no_json_by_its_type_is_refused(cast):
    assert shape(post(api(cast.operator), "a=1", "text/plain"))["status"] == 415


def test_a_form_is_refused(cast):
    response = post(api(cast.operator), "a=1", "application/x-www-form-urlencoded")
    assert shape(response)["status"] == 415


def test_an_answer_of_another_type_cannot_be_had(cast):
    response = api(cast.viewer).get("/devices", headers={"accept": "application/xml"})
    assert shape(response)["status"] == 406


def test_a_body_without_a_length_is_refused_instead_of_lost(cast):
    response = api(cast.operator).get("/devices", headers={"transfer-encoding": "chunked"})
    assert shape(response)["code"] == "length_required"


def test_a_host_that_is_not_ours_is_refused(db):
    assert shape(Client().get("/devices", headers={"host": "evil.example"}))["status"] == 400


def test_a_database_that_is_away_comes_back(cast, monkeypatch):
    def fail(*_):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr("devices.listing.first_of", fail)
    response = api(cast.viewer).get("/devices")
    assert shape(response)["code"] == "unavailable"
    assert response["Retry-After"] == "5"


def test_a_question_that_takes_too_long_is_told_to_ask_for_less(cast, monkeypatch):
    monkeypatch.setattr("telemetry.series.PATIENCE", "SET LOCAL statement_timeout = '50ms'")
    monkeypatch.setattr("telemetry.series.SERIES", "SELECT pg_sleep(60)")
    response = api(cast.viewer).get("/telemetry/dev-01/series?keys=temp")
    assert shape(response)["code"] == "took_too_long"
    assert "shorter time" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/devices", "/telemetry/dev-01"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_ours_says_nothing_of_its_cause(cast, monkeypatch, settings, debug, path):
    settings.DEBUG = debug

    def fail(*_, **__):
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr("iotplatform.rest.pages.KeysetPagination.begin", fail)
    client = api(cast.viewer)
    client.raise_request_exception = False
    response = client.get(path)
    assert shape(response)["status"] == 500
    assert "42" not in response.content.decode()


def test_faults_name_their_fields_however_deep():
    detail = {
        "labels": {"site": [ErrorDetail("Too long.", "max_length")]},
        "rows": [{}, {"name": [ErrorDetail("Missing.", "required")]}],
        "non_field_errors": [ErrorDetail("Odd.", "odd")],
    }
    body = problems.body_of(ValidationError(detail))
    assert [(each["field"], each["code"]) for each in body["errors"]] == [
        ("labels.site", "max_length"),
        ("rows.1.name", "required"),
        ("", "odd"),
    ]
    assert body["detail"] == "labels.site: Too long. (2 more in “errors”.)"


def test_every_fault_has_a_code_whoever_found_it(cast):
    for query in ("label=:x", "online=perhaps", "session=x", "last_seen_after=x", "ordering=x"):
        body = api(cast.viewer).get(f"/devices?{query}").json()
        assert body["errors"][0]["code"].startswith("invalid")


def test_a_method_that_django_refuses_is_a_problem_too(db):
    response = Client().post("/healthz")
    assert shape(response)["code"] == "method_not_allowed"
    assert response["Allow"] == "GET, HEAD"


def test_the_console_keeps_its_pages(db):
    response = Client().get("/admin/nothing/")
    assert response["Content-Type"].startswith("text/html")


def test_no_cache_keeps_what_one_person_was_answered(cast):
    assert api(cast.viewer).get("/devices")["Cache-Control"] == "private, no-store"
    assert "no-store" in api(None).get("/devices")["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "/devices?search=a&search=b",
        "/devices?online=true&online=false",
        "/telemetry/dev-01?keys=a&keys=b",
        "/telemetry/dev-01/series?keys=a&keys=b",
        "/export/devices?as=csv&as=json",
        "/rejected?state=open&state=resolved",
    ],
)
def test_a_parameter_that_is_given_twice_is_refused(cast, path):
    body = shape(api(cast.operator).get(path))
    (error,) = body["errors"]
    assert (body["status"], error["code"]) == (400, "twice")


def test_an_import_that_is_a_dry_run_and_is_not_is_refused(cast):
    url = "/import/devices?dry_run=true&dry_run=false"
    response = api(cast.operator).post(url, [{"device_uid": "new"}])
    assert shape(response)["status"] == 400
    assert not Device.objects.filter(device_uid="new").exists()


@pytest.mark.parametrize("path", ["/devices", "/export/devices"])
def test_labels_can_be_given_several_times(cast, path):
    assert api(cast.viewer).get(f"{path}?label=a:b&label=c").status_code == 200
