"""PATCH /devices/{uid}/credentials/{id}: what a credential in force speaks for, and who says so."""

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from devices.credentials.authenticating import authenticate
from devices.models import BrokerChange, Credential
from tests import cast as people
from tests.cast import api
from tests.devices.credentials.test_credentials_api import URL, errors, given, listed


@pytest.fixture(autouse=True)
def emqx(settings):
    settings.MQTT_ACCESS = "emqx"


def change(user, number, **body):
    return api(user).patch(f"{URL}/{number}", body)


def test_what_it_speaks_for_changes_without_a_new_token(cast):
    people.device("meter-1", cast.t0)
    made = given(cast.operator)
    answer = change(cast.operator, made["id"], gateway_for=["meter-1", "meter-1"])
    assert answer.status_code == 200
    assert answer.json() == listed(cast.operator)[0]
    assert answer.json()["gateway_for"] == ["meter-1"]
    account = authenticate("dev-01", made["token"])
    assert account.names == [("t0", "dev-01"), ("t0", "meter-1")]
    assert BrokerChange.objects.get().device_uid == "dev-01"
    said = f"Credential {made['id']} now speaks for meter-1."
    assert LogEntry.objects.latest("pk").change_message == said


def test_nothing_said_is_no_change(cast):
    people.device("meter-1", cast.t0)
    number = given(cast.operator, gateway_for=["meter-1"])["id"]
    assert change(cast.operator, number).json()["gateway_for"] == ["meter-1"]
    assert not BrokerChange.objects.exists()


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_one_that_has_ended_does_not_change_and_the_answer_says_what_to_do(cast, end):
    number = given(cast.operator)["id"]
    if end == "revoked":
        api(cast.operator).delete(f"{URL}/{number}")
    else:
        Credential.objects.update(expires_at=timezone.now())
    answer = change(cast.operator, number, gateway_for=[])
    assert (answer.status_code, answer.json()["code"]) == (409, "ended")
    assert "Make the device a new one" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("gateway_for", ["nobody", "foreign-01"], "no such devices: foreign-01, nobody."),
        ("gateway_for", ["dev-01"], "speaks for itself"),
        ("gateway_for", ["x"] * 1_001, "no more than 1000"),
        ("gateway_for", None, "may not be null"),
        ("expires_at", "2100-01-01T00:00:00Z", "Possible: gateway_for."),
        ("token", "x" * 64, "Possible: gateway_for."),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_what_to_do(cast, field, value, said):
    number = given(cast.operator)["id"]
    found = errors(change(cast.operator, number, **{field: value}))
    assert list(found) == [field]
    assert said in found[field]


def test_staff_cannot_let_one_speak_for_another_tenant(cast):
    number = given(cast.operator)["id"]
    answer = change(cast.staff, number, gateway_for=["foreign-01"])
    assert "its own tenant" in errors(answer)["gateway_for"]
