"""Who may not send over HTTP, and what cannot be taken; none of it leaves anything behind."""

import base64
import gzip
import logging
import re
from datetime import timedelta
from io import BytesIO

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from devices.models import Credential, Device, DeviceState
from telemetry import door, ingest
from telemetry.models import RejectedMessage, Telemetry
from tests import cast as people
from tests.iotplatform.document import document
from tests.telemetry import knocking
from tests.telemetry.knocking import bearer, send

BODY = '{"msg_id": 1, "temp": 21.5}'
WRONG = "0" * 64


@pytest.fixture(autouse=True)
def used(monkeypatch):
    """The credentials that were used."""
    numbers = []
    monkeypatch.setattr(door, "note", numbers.append)
    return numbers


@pytest.fixture
def token(cast):
    return people.token(cast.device)


@pytest.fixture
def gateway(cast):
    """A device that speaks for dev-01 too."""
    return people.device("gateway-01", cast.t0)


def basic(name, token):
    text = base64.b64encode(f"{name}:{token}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


def check_refused(answer, status=401):
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert status != 401 or answer["WWW-Authenticate"] == door.CHALLENGE
    assert not Telemetry.objects.exists()
    assert not RejectedMessage.objects.exists()
    assert not DeviceState.objects.exists()


HEADERS = [
    "Bearer",
    "Bearer ",
    f"Bearer {WRONG}",
    "Bearer \xe9",
    f"Token {WRONG}",
    WRONG,
    "Basic",
    "Basic %%%",
    "Basic ZGV2LTAx",
    "Basic /w==",
    "Basic OjA=",
]


@pytest.mark.parametrize("header", HEADERS)
def test_what_is_no_token_of_the_device_is_401(cast, token, header):
    check_refused(send("dev-01", BODY, {"Authorization": header}))


def test_without_a_token_the_answer_says_what_to_send(cast, token, used):
    answer = send("dev-01", BODY)
    check_refused(answer)
    assert answer.json()["detail"] == door.NO_TOKEN
    assert used == []


def test_whether_there_is_such_a_device_cannot_be_found_out(cast, token):
    answers, statements = [], []
    for uid in ("dev-01", "foreign-01", "nobody-01"):
        with CaptureQueriesContext(connection) as queries:
            answers.append(send(uid, BODY, bearer(WRONG)))
        statements.append(len(queries))
    assert len({answer.content for answer in answers}) == 1
    assert len(set(statements)) == 1


def test_a_token_is_good_for_no_other_device(cast, token):
    people.token(people.device("dev-02", cast.t0))
    for uid in ("dev-02", "foreign-01", "nobody-01", "DEV-01"):
        check_refused(send(uid, BODY, bearer(token)))
        check_refused(send(uid, BODY, basic("dev-01", token)))


def test_a_token_that_was_revoked_is_401_at_once(cast, token):
    Credential.objects.update(revoked_at=timezone.now())
    check_refused(send("dev-01", BODY, bearer(token)))


def test_a_token_that_has_run_out_is_401(cast):
    token = people.token(cast.device, expires_at=timezone.now() - timedelta(seconds=1))
    check_refused(send("dev-01", BODY, bearer(token)))


@pytest.mark.parametrize("how", ["disable", "delete"])
def test_a_device_that_is_disabled_or_deleted_is_401(cast, token, how):
    device = Device.objects.filter(pk=cast.device.pk)
    device.update(is_enabled=False) if how == "disable" else device.retire()
    check_refused(send("dev-01", BODY, bearer(token)))


@pytest.mark.parametrize("actor", people.ACTORS)
def test_a_person_reads_and_never_sends(cast, token, actor):
    person = getattr(cast, actor)
    answer = send("dev-01", BODY, bearer(str(AccessToken.for_user(person))))
    check_refused(answer)
    assert "A person's token is for reading" in answer.json()["detail"]
    check_refused(people.console(person).post("/telemetry/dev-01", BODY, "application/json"))


def test_a_service_of_the_platform_is_no_device(cast, settings):
    settings.MQTT_INGEST_PASSWORD = "the password of the ingestor ....."
    headers = basic("ingestor@platform", settings.MQTT_INGEST_PASSWORD)
    check_refused(send("dev-01", BODY, headers))


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete"])
def test_the_token_of_a_device_does_nothing_but_send(cast, token, method):
    for way in (bearer(token), basic("dev-01", token)):
        assert getattr(Client(headers=way), method)("/telemetry/dev-01").status_code == 401


@pytest.mark.parametrize("method", ["get", "put"])
def test_and_that_is_said(cast, token, method):
    answer = getattr(Client(headers=bearer(token)), method)("/telemetry/dev-01")
    assert "A device's token only sends: POST /telemetry/{uid}." in answer.json()["detail"]


def test_a_device_may_send_its_uid_along(cast, token):
    assert send("dev-01", BODY, basic("dev-01", token)).status_code == 201


def test_a_gateway_sends_for_the_devices_on_its_list(cast, gateway, used):
    token = people.token(gateway, gateway_for=[cast.device])
    assert send("dev-01", BODY, basic("gateway-01", token)).status_code == 201
    assert Telemetry.objects.get().device == cast.device
    assert used == [gateway.credentials.get().pk]


def test_for_another_device_a_gateway_has_to_say_who_it_is(cast, gateway):
    token = people.token(gateway, gateway_for=[cast.device])
    check_refused(send("dev-01", BODY, bearer(token)))


def test_a_gateway_sends_for_nobody_else(cast, gateway):
    people.device("dev-02", cast.t0)
    headers = basic("gateway-01", people.token(gateway, gateway_for=[cast.device]))
    for uid in ("dev-02", "foreign-01", "nobody-01"):
        check_refused(send(uid, BODY, headers))


@pytest.mark.parametrize("uid", ["dev-01", "gateway-01"])
def test_a_gateway_does_not_send_for_or_as_a_disabled_device(cast, gateway, uid):
    headers = basic("gateway-01", people.token(gateway, gateway_for=[cast.device]))
    Device.objects.filter(device_uid=uid).update(is_enabled=False)
    check_refused(send("dev-01", BODY, headers))


def test_a_body_without_its_length_is_411(cast, token):
    check_refused(send("dev-01", BODY, bearer(token), CONTENT_LENGTH=""), 411)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    check_refused(send("dev-01", BODY, bearer(token), **chunked), 411)


def test_a_body_that_is_too_large_to_be_kept_is_413_and_not_read(cast, token):
    unread = BytesIO(b"x" * (4 * 256 * 1024 + 1))
    length = str(len(unread.getvalue()))
    headers = bearer(token)
    environ = {"CONTENT_LENGTH": length, "wsgi.input": unread}
    check_refused(send("dev-01", b"", headers, **environ), 413)
    assert unread.tell() == 0


def test_how_much_is_kept_follows_the_setting(cast, token, settings):
    settings.MAX_PAYLOAD = 10
    answer = send("dev-01", b"x" * 41, bearer(token))
    check_refused(answer, 413)
    assert "more than 40 bytes" in answer.json()["detail"]


def test_a_body_that_is_compressed_is_415(cast, token):
    headers = bearer(token) | {"Content-Encoding": "gzip"}
    answer = send("dev-01", gzip.compress(BODY.encode()), headers)
    check_refused(answer, 415)
    assert "without Content-Encoding" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_a_body_that_is_not_compressed_may_say_so(cast, token, encoding):
    headers = bearer(token) | {"Content-Encoding": encoding}
    assert send("dev-01", BODY, headers).status_code == 201


class Broken(BytesIO):
    """The body of a client that vanished."""

    def read(self, *args):
        raise OSError("Connection reset by peer")


@pytest.mark.parametrize("source", [BytesIO(BODY[:-1].encode()), Broken()], ids=["ends", "breaks"])
def test_half_a_body_is_no_message(cast, token, source):
    answer = send("dev-01", BODY, bearer(token), **{"wsgi.input": source})
    check_refused(answer, 400)
    assert answer.json()["code"] == "parse_error"


def test_a_parameter_that_there_is_not_is_400(cast, token):
    client = Client(headers=bearer(token))
    check_refused(client.post("/telemetry/dev-01?ts=1", BODY, "application/json"), 400)


TYPES = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/x", "x"]


@pytest.mark.parametrize("kind", TYPES)
def test_of_what_type_a_body_says_it_is_does_not_matter(cast, token, kind):
    assert send("dev-01", BODY, bearer(token), CONTENT_TYPE=kind).status_code == 201
    assert Telemetry.objects.get().payload["temp"] == 21.5


@pytest.mark.parametrize("accept", ["text/html", "text/html, image/gif, */*; q=.2", "image/png"])
def test_whatever_a_device_accepts_the_answer_is_json(cast, token, accept):
    headers = bearer(token) | {"Accept": accept}
    assert send("dev-01", BODY, headers).json()["stored"] == 1
    assert send("dev-01", '{"temp": NaN}', headers).json()["code"] == "not_finite"


def test_a_slash_at_the_end_makes_no_difference(cast, token):
    assert send("dev-01/", BODY, bearer(token)).status_code == 201


def test_a_page_of_the_api_offers_no_form_to_send(cast):
    browser = people.console(cast.staff, headers={"Accept": "text/html"})
    forms = {
        address: re.findall(rf'<form action="{address}"[^>]*>', browser.get(address).text)
        for address in ("/telemetry/dev-01", "/devices")
    }
    assert not [form for form in forms["/telemetry/dev-01"] if "POST" in form]
    assert forms["/devices"]


def test_the_token_is_nowhere_but_with_the_device(cast, token, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    headers, others = bearer(token), basic("dev-01", token)
    for body in (BODY, '{"temp": NaN}'):
        send("dev-01", body, headers)
        send("dev-02", body, others)
    for error in (psycopg.OperationalError("lost"), psycopg.errors.UndefinedColumn("no")):
        monkeypatch.setattr(ingest, "_record", knocking.failing(error))
        send("dev-01", BODY, headers)
        send("dev-01", BODY, others)
    kept = RejectedMessage.objects.values()
    said = [token, others["Authorization"].partition(" ")[2]]
    assert kept
    assert not [each for each in said if each in caplog.text or each in str(list(kept))]


def test_the_document_tells_the_token_of_a_device_from_that_of_a_person():
    path = document()["paths"]["/telemetry/{device_uid}"]
    schemes = document()["components"]["securitySchemes"]
    assert path["post"]["security"] == [{"device": []}, {"device_basic": []}]
    assert {"token": []} in path["get"]["security"]
    assert {"device": []} not in path["get"]["security"]
    assert [schemes[name]["scheme"] for name in ("device", "device_basic")] == ["bearer", "basic"]
