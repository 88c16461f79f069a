"""/devices/{uid}/credentials and /access: what is given, shown and refused, and to whom."""

import logging
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from devices.credentials.authenticating import authenticate
from devices.credentials.serializers import (
    AccessSerializer,
    CredentialSerializer,
    IssuedSerializer,
)
from devices.models import BrokerChange, Credential, Device
from tests import cast as people
from tests.cast import api
from tests.queries import queries_of

URL = "/devices/dev-01/credentials"


@pytest.fixture(autouse=True)
def emqx(settings):
    settings.MQTT_ACCESS = "emqx"


def give(user, url=URL, **body):
    return api(user).post(url, body)


def given(user, url=URL, **body) -> dict:
    answer = give(user, url, **body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def listed(user, **query) -> list[dict]:
    answer = api(user).get(URL, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def errors(answer) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {each["field"]: each["detail"] for each in answer.json()["errors"]}


def test_a_new_credential_is_answered_with_all_that_goes_into_the_device(cast):
    answer = api(cast.operator).post(URL)
    made, kept = answer.json(), Credential.objects.get()
    assert answer.status_code == 201
    assert answer["Location"] == f"http://testserver{URL}/{kept.pk}"
    assert "no-store" in answer["Cache-Control"]
    assert made.pop("created_at").startswith(str(kept.created_at.date()))
    assert len(made.pop("token")) == 64
    assert made == {
        "id": kept.pk,
        "device_uid": "dev-01",
        "origin": "issued",
        "created_by": "operator@t0.example",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "is_in_force": True,
        "gateway_for": [],
        "username": "dev-01",
        "client_id": "dev-01",
        "topics": {
            kind: f"t0/devices/dev-01/{kind}"
            for kind in ("telemetry", "commands", "replies", "status")
        },
        "notice": None,
    }


def test_the_description_has_every_field_of_the_answers(cast):
    assert given(cast.operator).keys() == IssuedSerializer().fields.keys()
    assert listed(cast.operator)[0].keys() == CredentialSerializer().fields.keys()
    access = api(cast.operator).get("/devices/dev-01/access").json()
    assert access.keys() == AccessSerializer().fields.keys()


def test_the_token_is_what_the_device_connects_with(cast):
    made = given(cast.operator)
    account = authenticate(made["username"], made["token"], made["client_id"])
    assert account.names == [("t0", "dev-01")]
    assert {right.topic for right in account.rights} == set(made["topics"].values())


def test_a_token_is_shown_once_and_kept_and_logged_nowhere(cast, caplog):
    caplog.set_level(logging.DEBUG)
    token = given(cast.operator)["token"]
    number = Credential.objects.get().pk
    client, browser = api(cast.operator), people.console(cast.operator)
    for path in (URL, f"{URL}/{number}", "/devices/dev-01", "/devices", "/devices/dev-01/access"):
        assert token not in client.get(path).text
    page = f"/admin/devices/device/{cast.device.pk}"
    for path in (f"{page}/change/", f"{page}/history/", "/admin/devices/brokerchange/"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert token not in answer.text
    assert token not in str(list(LogEntry.objects.values()))
    assert token not in str(list(Credential.objects.values()))
    assert token not in caplog.text


def test_the_digest_is_shown_nowhere(cast):
    given(cast.operator)
    digest = bytes(Credential.objects.get().digest)
    said = api(cast.operator).get(URL).text
    assert "digest" not in said
    assert digest.hex() not in said


def test_a_second_one_takes_the_place_of_the_first(cast):
    first, second = given(cast.operator), given(cast.operator)
    assert [each["is_in_force"] for each in listed(cast.operator)] == [True, False]
    assert authenticate("dev-01", first["token"]) is None
    assert authenticate("dev-01", second["token"])


def test_with_an_overlap_both_are_good_for_some_time(cast):
    first, second = given(cast.operator), given(cast.operator, overlap=3600)
    assert authenticate("dev-01", first["token"])
    assert authenticate("dev-01", second["token"])
    newest, former = listed(cast.operator)
    assert (newest["expires_at"], former["revoked_at"]) == (None, None)
    assert former["expires_at"] > newest["created_at"]


def test_it_ends_when_it_was_said(cast):
    end = timezone.now() + timedelta(hours=1)
    made = given(cast.operator, expires_at=end.isoformat())
    assert Credential.objects.get().expires_at == end
    Credential.objects.update(expires_at=timezone.now())
    assert authenticate("dev-01", made["token"]) is None
    assert listed(cast.operator)[0]["is_in_force"] is False


def test_a_gateway_speaks_for_further_devices_by_its_own_credential(cast):
    people.device("meter-1", cast.t0)
    made = given(cast.operator, gateway_for=["meter-1", "meter-1"])
    assert made["gateway_for"] == listed(cast.operator)[0]["gateway_for"] == ["meter-1"]
    assert given(cast.operator)["gateway_for"] == ["meter-1"]
    assert given(cast.operator, gateway_for=[])["gateway_for"] == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("expires_at", "2020-01-01T00:00:00Z", "This is past."),
        ("expires_at", "tomorrow", "This is no time."),
        ("expires_at", 5, "This is no time."),
        ("overlap", -1, "greater than or equal to 0"),
        ("overlap", 30 * 24 * 3600 + 1, "less than or equal to 2592000"),
        ("overlap", "60", "Use a whole number of seconds."),
        ("gateway_for", "dev-02", "Expected a list"),
        ("gateway_for", ["nobody", "foreign-01"], "no such devices: foreign-01, nobody."),
        ("gateway_for", ["dev-01"], "speaks for itself"),
        ("gateway_for", ["x"] * 1_001, "no more than 1000"),
        ("token", "x" * 64, "There is no such field to set."),
        ("device_uid", "dev-01", "There is no such field to set."),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(cast, field, value, said):
    found = errors(give(cast.operator, **{field: value}))
    assert list(found) == [field]
    assert said in found[field]
    assert not Credential.objects.exists()


@pytest.mark.parametrize("uid", [5, None, "", "x" * 129])
def test_a_uid_that_is_none_is_refused_with_its_place(cast, uid):
    assert list(errors(give(cast.operator, gateway_for=["dev-01", uid]))) == ["gateway_for.1"]


def test_staff_cannot_make_a_gateway_for_another_tenant(cast):
    found = errors(give(cast.staff, gateway_for=["foreign-01"]))
    assert "its own tenant" in found["gateway_for"]


def test_a_client_id_of_the_platform_is_no_uid_for_a_credential(cast, settings):
    people.device(f"{settings.MQTT_CLIENT_ID}-dispatch", cast.t0)
    answer = give(cast.operator, f"/devices/{settings.MQTT_CLIENT_ID}-dispatch/credentials")
    assert "another uid" in errors(answer)["device_uid"]


def test_under_mosquitto_an_overlap_is_refused_and_a_new_one_takes_a_moment(cast, settings):
    settings.MQTT_ACCESS = "mosquitto"
    assert "one token a device" in errors(give(cast.operator, overlap=60))["overlap"]
    made = given(cast.operator, overlap=0)
    assert "within a moment" in made["notice"]
    assert BrokerChange.objects.get().token == made["token"]


@pytest.mark.parametrize(("access", "said"), [("emqx", "is disabled"), ("open", "MQTT__ACCESS")])
def test_what_stands_between_the_device_and_the_broker_is_told(cast, settings, access, said):
    settings.MQTT_ACCESS = access
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    assert said in given(cast.operator)["notice"]


def test_those_in_force_can_be_listed_alone(cast):
    first, second = given(cast.operator)["id"], given(cast.operator)["id"]
    assert [each["id"] for each in listed(cast.operator)] == [second, first]
    assert [each["id"] for each in listed(cast.operator, in_force="true")] == [second]
    assert [each["id"] for each in listed(cast.operator, in_force="false")] == [first]


def test_the_list_comes_in_pages(cast):
    made = [given(cast.operator)["id"] for _ in range(3)]
    answer = api(cast.operator).get(URL, {"limit": 2})
    assert [each["id"] for each in answer.json()] == made[:0:-1]
    assert 'rel="next"' in answer["Link"]


def test_more_credentials_take_no_more_statements(cast):
    given(cast.operator)
    few = queries_of(api(cast.operator), URL)
    for _ in range(5):
        given(cast.operator)
    assert len(queries_of(api(cast.operator), URL)) == len(few) <= 3


def test_a_revoked_one_is_over_at_once_and_stays_in_the_list(cast):
    made = given(cast.operator)
    client = api(cast.operator)
    assert client.delete(f"{URL}/{made['id']}").status_code == 204
    assert authenticate("dev-01", made["token"]) is None
    shown = client.get(f"{URL}/{made['id']}").json()
    assert shown["is_in_force"] is False
    assert shown["revoked_at"]
    assert BrokerChange.objects.get().device_uid == "dev-01"


def test_to_revoke_twice_changes_nothing(cast):
    number, client = given(cast.operator)["id"], api(cast.operator)
    client.delete(f"{URL}/{number}")
    before = Credential.objects.get().revoked_at
    assert client.delete(f"{URL}/{number}").status_code == 204
    assert Credential.objects.get().revoked_at == before
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_credential_is_found_at_its_own_device_alone(cast, method):
    people.device("dev-02", cast.t0)
    number = given(cast.operator)["id"]
    for address in (f"/devices/dev-02/credentials/{number}", f"{URL}/{number + 1}"):
        assert getattr(api(cast.operator), method)(address).status_code == 404
    assert Credential.objects.in_force().exists()


@pytest.mark.parametrize("actor", ["stranger", "viewer"])
def test_others_neither_see_nor_change_anything(cast, actor):
    number = given(cast.operator)["id"]
    client = api(getattr(cast, actor))
    answers = [
        client.get(URL), client.post(URL), client.get(f"{URL}/{number}"),
        client.delete(f"{URL}/{number}"), client.get("/devices/dev-01/access"),
        client.patch(f"{URL}/{number}", {"gateway_for": []}),
    ]  # fmt: skip
    assert {each.status_code for each in answers} == {403 if actor == "viewer" else 404}
    assert Credential.objects.in_force().count() == 1


def test_a_deleted_device_has_none(cast):
    number = given(cast.operator)["id"]
    Device.objects.filter(pk=cast.device.pk).retire()
    client = api(cast.operator)
    assert {client.get(URL).status_code, client.post(URL).status_code} == {404}
    assert client.get(f"{URL}/{number}").status_code == 404


def test_the_history_of_the_device_says_who_did_what(cast):
    number = given(cast.operator)["id"]
    api(cast.admin).delete(f"{URL}/{number}")
    history = LogEntry.objects.order_by("pk").values_list(
        "user__email", "object_id", "change_message"
    )
    assert list(history) == [
        ("operator@t0.example", str(cast.device.pk), "New credential."),
        ("admin@t0.example", str(cast.device.pk), f"Credential {number} revoked."),
    ]


# What a device may do at the broker --------------------------------------------------------------


def access(user, uid="dev-01") -> dict:
    answer = api(user).get(f"/devices/{uid}/access")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_access_says_what_the_newest_credential_is_good_for(cast):
    people.device("meter-1", cast.t0)
    given(cast.operator, gateway_for=["meter-1"])
    said = access(cast.operator)
    assert (said["is_admitted"], said["reason"]) == (True, None)
    assert {(right["action"], right["topic"]) for right in said["rights"]} == {
        (action, f"t0/devices/{uid}/{kind}")
        for uid in ("dev-01", "meter-1")
        for kind, action in [
            ("telemetry", "publish"), ("commands", "subscribe"),
            ("replies", "publish"), ("status", "publish"),
        ]
    }  # fmt: skip


def test_a_gateway_does_not_speak_for_one_that_is_disabled(cast):
    people.device("meter-1", cast.t0)
    given(cast.operator, gateway_for=["meter-1"])
    Device.objects.filter(device_uid="meter-1").update(is_enabled=False)
    assert "meter-1" not in str(access(cast.operator)["rights"])


def test_access_says_why_a_device_is_not_admitted(cast):
    assert "no credential in force" in access(cast.operator)["reason"]
    given(cast.operator)
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    said = access(cast.operator)
    assert said["is_admitted"] is False
    assert "is disabled" in said["reason"]


def test_with_an_open_broker_everybody_is_admitted_and_that_is_said(cast, settings):
    settings.MQTT_ACCESS = "open"
    said = access(cast.operator)
    assert said["is_admitted"] is True
    assert "MQTT__ACCESS is open" in said["reason"]


def test_access_says_what_the_broker_has_still_to_be_told(cast):
    assert access(cast.operator)["broker"] == {
        "pending": False, "since": None, "attempts": 0, "error": None,
    }  # fmt: skip
    BrokerChange.objects.note([cast.device.pk])
    BrokerChange.objects.update(attempts=3, error="Connection refused.", token="secret")
    said = access(cast.operator)["broker"]
    assert said.pop("since") == BrokerChange.objects.get().noted_at.isoformat()
    assert said == {"pending": True, "attempts": 3, "error": "Connection refused."}
