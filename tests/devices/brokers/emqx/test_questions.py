"""What EMQX asks is answered in its own words, and denied whenever anything is not as it should."""

import json
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from devices.brokers.emqx import views
from devices.credentials.issuing import Terms, issue, revoke
from devices.models import Credential
from tests import cast as people
from tests.devices.brokers.emqx.conftest import SECRET
from tests.iotplatform.document import document

AUTH, ACL = "/internal/mqtt/auth", "/internal/mqtt/acl"
DENIED = {"result": "deny"}
KINDS = {
    "telemetry": "publish", "commands": "subscribe", "replies": "publish", "status": "publish"
}  # fmt: skip
LAST = {"permission": "deny", "action": "all", "topic": "#"}


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The credentials that were used; no thread writes them down."""
    found: list[int] = []
    monkeypatch.setattr(views, "note", found.append)
    return found


def post(path: str, body: Any, key: str = SECRET, scheme: str = "Bearer ", **options: Any) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    # As the name of the container, which is none of ALLOWED_HOSTS.
    headers = {"Host": "web:8000", "Authorization": f"{scheme}{key}"}
    options = {"content_type": "application/json", "headers": headers, **options}
    answer = Client(enforce_csrf_checks=True).post(path, data, **options)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert int(answer["Content-Length"]) == len(answer.content)
    return answer.json()


def who(username: Any, password: Any, client_id: Any = None) -> Any:
    client_id = username if client_id is None else client_id
    return post(AUTH, {"username": username, "password": password, "clientid": client_id})


def may(username: str, action: str, topic: str) -> bool:
    asked = {"username": username, "clientid": username, "action": action, "topic": topic}
    return bool(post(ACL, asked) == {"result": "allow"})


def rules(tenant: str, *uids: str) -> list[dict[str, str]]:
    return [
        {"permission": "allow", "action": action, "topic": f"{tenant}/devices/{uid}/{kind}"}
        for uid in uids
        for kind, action in KINDS.items()
    ]


@pytest.fixture
def token(cast: SimpleNamespace) -> str:
    return issue([cast.device], None)[0].token


def test_a_device_is_told_to_reach_its_own_topics_and_no_others(token):
    assert who("dev-01", token) == {
        "result": "allow",
        "is_superuser": False,
        "acl": [*rules("t0", "dev-01"), LAST],
    }


def test_a_gateway_reaches_those_of_its_devices_as_well(cast):
    terms = Terms(gateway_for=[people.device("sensor-01", cast.t0)])
    token = issue([cast.device], None, terms)[0].token
    assert who("dev-01", token)["acl"] == [*rules("t0", "dev-01", "sensor-01"), LAST]


def test_the_end_of_a_credential_is_the_end_of_the_connection(cast):
    end = timezone.now() + timedelta(hours=1)
    token = issue([cast.device], None, Terms(expires_at=end))[0].token
    assert who("dev-01", token)["expire_at"] == int(end.timestamp())


def test_the_platform_itself_is_known_and_what_it_publishes_is_never_retained(emqx, db):
    hears = who("ingestor@platform", emqx.MQTT_INGEST_PASSWORD, "iotplatform-ingest")["acl"]
    sends = who("dispatcher@platform", emqx.MQTT_DISPATCH_PASSWORD, "iotplatform-dispatch-1")["acl"]
    assert {(rule["action"], rule["permission"]) for rule in hears[:-1]} == {("subscribe", "allow")}
    assert sends == [
        {
            "permission": "allow",
            "action": "publish",
            "topic": "+/devices/+/commands",
            "retain": False,
        },
        LAST,
    ]


@pytest.mark.parametrize(
    ("username", "password", "client_id"),
    [
        ("dev-01", "0" * 64, "dev-01"),
        ("dev-01", "", "dev-01"),
        ("dev-01", None, "dev-02"),
        ("nobody-01", None, "nobody-01"),
        ("dev-01\0", None, "dev-01\0"),
        ("", "", ""),
        ("ingestor@platform", "", "iotplatform-ingest"),
    ],
)
def test_nobody_else_is_let_in(token, username, password, client_id):
    assert who(username, token if password is None else password, client_id) == DENIED


def test_a_credential_that_was_revoked_lets_nobody_in(token):
    revoke(Credential.objects.all())
    assert who("dev-01", token) == DENIED


def test_a_decision_is_one_read(token, django_assert_num_queries):
    for name in ("dev-01", "nobody-01"):
        with django_assert_num_queries(1) as queries:
            who(name, token)
        assert queries.captured_queries[0]["sql"].lstrip().startswith("SELECT")
    with django_assert_num_queries(1):
        may("dev-01", "publish", "t0/devices/dev-01/telemetry")


def test_the_use_of_a_credential_is_noted_and_a_wrong_token_is_no_use(token, noted):
    who("dev-01", "0" * 64)
    assert noted == []
    who("dev-01", token)
    assert noted == [Credential.objects.get().pk]


@pytest.mark.parametrize("key", ["", "x", SECRET[:-1], SECRET + "x", "é" * 33])
def test_who_does_not_know_the_secret_is_told_nothing(token, key):
    asked = {"username": "dev-01", "password": token, "clientid": "dev-01"}
    assert post(AUTH, asked, key) == DENIED


@pytest.mark.parametrize("scheme", ["", "Basic ", "bearer ", "Bearer", "Bearer  ", " Bearer: "])
def test_the_secret_comes_as_a_bearer_and_no_other_way(token, scheme):
    asked = {"username": "dev-01", "password": token, "clientid": "dev-01"}
    assert post(AUTH, asked, scheme=scheme) == DENIED
    assert post(AUTH, asked) != DENIED


@pytest.mark.parametrize(
    "wrong", [{"MQTT_HOOK_SECRET": ""}, {"MQTT_ACCESS": "open"}, {"MQTT_ACCESS": "mosquitto"}]
)
def test_where_no_emqx_has_to_ask_everything_is_denied(token, emqx, wrong):
    for name, value in wrong.items():
        setattr(emqx, name, value)
    asked = {"username": "dev-01", "password": token, "clientid": "dev-01"}
    assert post(AUTH, asked, emqx.MQTT_HOOK_SECRET) == DENIED


@pytest.mark.parametrize("path", [AUTH, ACL])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"{}", b"[" * 5000, b'{"username": 1}'),
        *(b'{"username": "dev-01", "username": null}', b" " * 70_000, b" " * 4_000_000),
    ],
)
def test_a_body_that_is_no_question_is_denied(db, path, body):
    assert post(path, body) == DENIED


@pytest.mark.parametrize("path", [AUTH, ACL])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_any_other_method_is_denied(token, path, method):
    body = json.dumps({"username": "dev-01", "password": token, "clientid": "dev-01"})
    headers = {"Authorization": f"Bearer {SECRET}"}
    answer = Client().generic(method, path, body, "application/json", headers=headers)
    assert (answer.status_code, json.loads(answer.content)) == (200, DENIED)


def test_any_other_content_type_is_denied(token):
    asked = {"username": "dev-01", "password": token, "clientid": "dev-01"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert post(AUTH, json.dumps(asked), content_type=kind) == DENIED
    assert post(AUTH, asked, content_type="application/json; charset=utf-8") != DENIED


@pytest.mark.parametrize("error", [OperationalError("host db"), KeyError("ours"), RecursionError()])
def test_whatever_fails_is_a_deny_and_nothing_secret_is_logged(monkeypatch, caplog, error):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(views, "authenticate", fail)
    monkeypatch.setattr(views, "account_of", fail)
    with caplog.at_level(logging.WARNING):
        assert who("dev-01", "a very secret token") == DENIED
        assert not may("dev-01", "publish", "t0/devices/dev-01/telemetry")
    assert "Denied" in caplog.text
    assert "a very secret token" not in caplog.text
    assert SECRET not in caplog.text


def test_a_misconfigured_emqx_is_told_of_in_the_log_without_the_token(token, caplog):
    post(AUTH, {"username": "dev-01", "password": token}, SECRET)
    post(AUTH, {"username": "dev-01", "password": token, "clientid": "dev-01"}, "wrong")
    assert "no text clientid" in caplog.text
    assert "Authorization" in caplog.text
    assert token not in caplog.text


TELEMETRY, COMMANDS = "t0/devices/dev-01/telemetry", "t0/devices/dev-01/commands"


@pytest.mark.parametrize(
    ("action", "topic", "is_allowed"),
    [
        ("publish", TELEMETRY, True),
        ("publish", "t0/devices/dev-01/status", True),
        ("subscribe", COMMANDS, True),
        ("subscribe", TELEMETRY, False),
        ("publish", COMMANDS, False),
        ("publish", "t0/devices/dev-02/telemetry", False),
        ("publish", "other/devices/dev-01/telemetry", False),
        ("publish", "t0/devices/+/telemetry", False),
        ("subscribe", "t0/devices/+/commands", False),
        ("subscribe", "t0/devices/dev-01/#", False),
        ("subscribe", "#", False),
        ("subscribe", f"$share/g/{COMMANDS}", False),
        ("publish", "$SYS/brokers", False),
        ("publish", f"{TELEMETRY}/", False),
        ("all", TELEMETRY, False),
        ("", "", False),
    ],
)
def test_a_device_may_do_on_its_topics_what_it_may(token, action, topic, is_allowed):
    assert may("dev-01", action, topic) is is_allowed


@pytest.mark.parametrize(
    ("name", "action", "topic", "is_allowed"),
    [
        ("ingestor", "subscribe", "+/devices/+/telemetry", True),
        ("ingestor", "subscribe", "t0/devices/+/telemetry", True),
        ("ingestor", "subscribe", "+/devices/#", False),
        ("ingestor", "subscribe", "+/devices/#/telemetry", False),
        ("ingestor", "subscribe", "+/devices/+/commands", False),
        ("ingestor", "publish", TELEMETRY, False),
        ("dispatcher", "publish", COMMANDS, True),
        ("dispatcher", "publish", "+/devices/+/commands", False),
        ("dispatcher", "publish", TELEMETRY, False),
        ("dispatcher", "subscribe", COMMANDS, False),
    ],
)
def test_the_platform_may_do_what_it_has_to(db, name, action, topic, is_allowed):
    assert may(f"{name}@platform", action, topic) is is_allowed


def test_nobody_may_anything_once_nothing_of_theirs_is_in_force(cast, token):
    assert may("dev-01", "publish", TELEMETRY)
    cast.device.is_enabled = False
    cast.device.save()
    assert not may("dev-01", "publish", TELEMETRY)
    assert not may("foreign-01", "publish", "other/devices/foreign-01/telemetry")


def test_what_is_for_the_broker_alone_is_in_no_document(db):
    assert not [path for path in document()["paths"] if "internal" in path]
    assert Client().get("/internal/mqtt/other").status_code == 404
