"""Simulated devices show a key to the platform; to its view, without a network."""

import io
import time
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import pytest
from rest_framework.test import APIClient

from devices.credentials.authenticating import authenticate
from devices.simulator import enrolling
from devices.simulator.enrolling import enrol
from devices.simulator.tokens import TokensError
from tests import cast as people

URL = "http://127.0.0.1:8000/"


class Wire:
    """Takes requests to the platform; `answers` come before its own, as (status, body, headers)."""

    def __init__(self):
        self.answers = []

    def open(self, request, timeout):
        status, body, headers = self.answers.pop(0) if self.answers else self._ask(request)
        if status >= 400:
            raise HTTPError(request.full_url, status, "Refused", headers, io.BytesIO(body))
        return io.BytesIO(body)

    def _ask(self, request):
        path = urlsplit(request.full_url).path
        done = APIClient().post(path, request.data.decode(), content_type="application/json")
        return done.status_code, done.content, done.headers


@pytest.fixture
def wire(monkeypatch, settings):
    settings.ENROLMENT = True
    wire = Wire()
    monkeypatch.setattr(enrolling, "_direct", wire)
    return wire


@pytest.fixture
def key(cast):
    return people.enrolment_key(by=cast.admin, tenant=cast.t0, quota=2).secret


def test_each_device_enrols_and_is_known_by_the_token_that_it_got(wire, key):
    tokens = enrol(key, URL, "t0", ["new-01", "new-02"])
    assert all(authenticate(uid, token, uid) for uid, token in tokens.items())


def test_a_second_start_is_given_new_tokens(wire, key):
    first, second = (enrol(key, URL, "t0", ["new-01"]) for _ in range(2))
    assert authenticate("new-01", first["new-01"]) is None
    assert authenticate("new-01", second["new-01"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": "5ec0" * 16}, r"new-01 may not enrol: The key is wrong.*\(401\)"),
        ({"uids": ["new-01", "new-02", "new-03"]}, r"new-03 may not enrol: As many .*\(409\)"),
        ({"tenant": "other"}, r"Use --tenant t0\."),
    ],
)
def test_a_refusal_is_passed_on_without_the_key(wire, key, changed, said):
    asked = {"key": key, "url": URL, "tenant": "t0", "uids": ["new-01"], **changed}
    with pytest.raises(TokensError, match=said) as caught:
        enrol(**asked)
    assert asked["key"] not in str(caught.value)


def test_a_device_waits_as_long_as_it_is_told(wire, key, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    wire.answers = [(429, b"{}", {"Retry-After": "7"})]
    assert enrol(key, URL, "t0", ["new-01"])
    assert waited == [7]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>", {}), "is no enrolment"),
        ((200, b"[]", {}), "is no enrolment"),
        ((404, b"<html>", {}), r"may not enrol: Refused \(404\)"),
        ((429, b"{}", {"Retry-After": "86400"}), r"\(429\)"),
    ],
)
def test_an_answer_of_somebody_else_is_none(wire, answer, said):
    wire.answers = [answer]
    with pytest.raises(TokensError, match=said):
        enrol("key", URL, "t0", ["new-01"])


def test_where_nobody_answers_the_address_is_named(wire, monkeypatch):
    def open_(*_, **__):
        raise URLError("Connection refused")

    monkeypatch.setattr(wire, "open", open_)
    with pytest.raises(TokensError, match=r"127\.0\.0\.1:8000/enroll: Connection refused\. Is"):
        enrol("key", URL, "t0", ["new-01"])
