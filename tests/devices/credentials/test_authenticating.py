"""Who is let in, and what they may do then: read by one statement, whoever asks."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from devices.credentials.authenticating import READ, account_of, authenticate
from devices.credentials.issuing import Terms, issue
from devices.credentials.tokens import digest_of
from devices.models import Credential, Device
from devices.mqtt.rights import Action, Right
from tests import cast as people

FORMS = {
    "unknown": "nobody-01",
    "no token": "foreign-01",
    "empty": "",
    "NUL": "dev-01\0",
    "lone surrogate": "\udc80",
    "wildcard": "+",
    "too long": "x" * 70_000,
}


@pytest.fixture
def token(cast: SimpleNamespace) -> str:
    return people.token(cast.device)


@pytest.fixture
def cast(cast: SimpleNamespace, settings: SimpleNamespace) -> SimpleNamespace:
    settings.MQTT_INGEST_PASSWORD = "the password of the ingestor ....."
    settings.MQTT_DISPATCH_PASSWORD = "the password of the dispatcher ..."
    return cast


def test_a_device_is_let_in_with_its_token_and_may_use_its_four_topics(cast, token):
    account = authenticate("dev-01", token, "dev-01")
    assert account.credential_id == cast.device.credentials.get().pk
    assert account.expires_at is None
    assert set(account.rights) == {
        Right(Action.PUBLISH, "t0/devices/dev-01/telemetry"),
        Right(Action.PUBLISH, "t0/devices/dev-01/replies"),
        Right(Action.PUBLISH, "t0/devices/dev-01/status"),
        Right(Action.SUBSCRIBE, "t0/devices/dev-01/commands"),
    }


@pytest.mark.parametrize("wrong", ["", "x", "\udc80", "é" * 64, "0" * 64, "dev-01"])
def test_no_other_token_lets_it_in(token, wrong):
    assert authenticate("dev-01", wrong, "dev-01") is None
    assert authenticate("dev-01", token + wrong or "-", "dev-01") is None or not wrong


@pytest.mark.parametrize("client_id", ["", "dev-02", "DEV-01", "dev-01 ", "iotplatform-ingest"])
def test_the_token_is_good_under_no_other_client_id(token, client_id):
    assert authenticate("dev-01", token, client_id) is None


@pytest.mark.parametrize("username", FORMS.values(), ids=FORMS)
def test_nobody_is_let_in_by_a_strange_name(token, username):
    assert authenticate(username, token, username) is None
    assert account_of(username) is None


def test_the_token_of_another_device_is_none(cast, token):
    people.token(cast.foreign)
    assert authenticate("foreign-01", token, "foreign-01") is None


def test_a_disabled_device_is_nobody_and_nor_is_a_deleted_one(cast, token):
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    assert authenticate("dev-01", token, "dev-01") is None
    assert account_of("dev-01") is None
    Device.objects.filter(pk=cast.device.pk).retire()
    assert authenticate("dev-01", token, "dev-01") is None


def test_an_expired_credential_is_none_and_one_that_will_expire_says_when(cast):
    now = timezone.now().replace(microsecond=0)
    token = people.token(cast.device, expires_at=now + timedelta(hours=1))
    assert authenticate("dev-01", token).expires_at == int((now + timedelta(hours=1)).timestamp())
    Credential.objects.update(expires_at=now - timedelta(seconds=1))
    assert authenticate("dev-01", token) is None


def test_a_rotated_token_is_good_as_long_as_was_agreed(cast, token):
    new = issue([cast.device], None, Terms(overlap=timedelta(hours=1)))[0].token
    assert authenticate("dev-01", token).expires_at is not None
    assert authenticate("dev-01", new).expires_at is None
    newest = issue([cast.device], None)[0].token
    assert [authenticate("dev-01", each) for each in (token, new)] == [None, None]
    assert authenticate("dev-01", newest)


def test_a_gateway_speaks_for_others_of_its_tenant_while_they_are_enabled(cast):
    sensors = [people.device(f"sensor-{n}", cast.t0) for n in range(2)]
    token = people.token(cast.device, gateway_for=sensors)
    Device.objects.filter(pk=sensors[1].pk).update(is_enabled=False)
    account = authenticate("dev-01", token)
    assert account.names == [("t0", "dev-01"), ("t0", "sensor-0")]
    assert Right(Action.PUBLISH, "t0/devices/sensor-0/telemetry") in account.rights
    assert account_of("dev-01").names == account.names


@pytest.mark.parametrize(
    ("asked", "known"),
    [("sensor-0", ["sensor-0"]), ("sensor-2", []), ("dev-01", []), ("foreign-01", []), ("\0", [])],
)
def test_who_asks_for_one_name_is_told_of_no_other(cast, asked, known):
    sensors = [people.device(f"sensor-{n}", cast.t0) for n in range(3)]
    token = people.token(cast.device, gateway_for=sensors[:2])
    account = authenticate("dev-01", token, speaking_for=asked)
    assert [uid for _, uid in account.names] == ["dev-01", *known]
    assert authenticate("dev-01", "wrong", speaking_for=asked) is None


@pytest.mark.parametrize(("given", "expected"), [("right", ["sensor-0"]), ("wrong", None)])
def test_the_list_of_a_gateway_is_read_only_for_who_has_its_token(cast, given, expected):
    token = people.token(cast.device, gateway_for=[people.device("sensor-0", cast.t0)])
    digest = digest_of(token if given == "right" else "x")
    with connection.cursor() as cursor:
        cursor.execute(READ, {"uid": "dev-01", "digest": digest, "of": None})
        assert cursor.fetchone()[-1] == expected


def test_another_token_of_the_gateway_does_not_speak_for_more_than_it_was_given(cast):
    first = people.token(cast.device, gateway_for=[people.device("sensor-0", cast.t0)])
    second = people.token(cast.device, gateway_for=[], overlap=timedelta(hours=1))
    assert authenticate("dev-01", first).names == [("t0", "dev-01"), ("t0", "sensor-0")]
    assert authenticate("dev-01", second).names == [("t0", "dev-01")]


def test_a_device_with_the_client_id_of_the_platform_is_nobody(cast):
    device = people.device("iotplatform-ingest", cast.t0)
    token = people.token(cast.device)
    Credential.objects.update(device=device)
    assert authenticate(device.device_uid, token, device.device_uid) is None
    assert account_of(device.device_uid) is None


def test_the_services_are_let_in_with_their_passwords_and_no_others(cast, settings):
    ingest, dispatch = settings.MQTT_INGEST_PASSWORD, settings.MQTT_DISPATCH_PASSWORD
    heard = authenticate("ingestor@platform", ingest, "iotplatform-ingest").rights
    assert {right.action for right in heard} == {Action.SUBSCRIBE}
    said = authenticate("dispatcher@platform", dispatch, "iotplatform-dispatch-0a1b").rights
    assert said == [Right(Action.PUBLISH, "+/devices/+/commands")]
    assert authenticate("ingestor@platform", dispatch, "iotplatform-ingest") is None
    assert authenticate("ingestor@platform", ingest, "dev-01") is None


def test_a_service_without_a_password_is_nobody(cast, settings):
    settings.MQTT_INGEST_PASSWORD = ""
    assert authenticate("ingestor@platform", "", "iotplatform-ingest") is None


@pytest.mark.parametrize("username", ["dev-01", "foreign-01", "nobody-01"])
def test_known_and_unknown_devices_are_one_statement(token, username, django_assert_num_queries):
    with django_assert_num_queries(1):
        authenticate(username, "wrong", username)
