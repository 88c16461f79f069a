"""POST /credentials: new tokens for many devices, in a file that is made once."""

import csv
import io
import json

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.credentials import files
from devices.credentials.authenticating import authenticate
from devices.credentials.serializers import NewTokenSerializer
from devices.models import BrokerChange, Credential, Device
from tests import cast as people
from tests.cast import api

URL = "/credentials"


@pytest.fixture
def fleet(cast, settings):
    settings.MQTT_ACCESS = "emqx"
    people.device("dev-02", cast.t0)
    people.device("dev-03", cast.t0)
    Device.objects.filter(device_uid="dev-02").update(labels={"site": "Hanoi"})
    return cast


def give(user, url=URL, **body):
    return api(user).post(url, body)


def rows(answer) -> list[dict[str, str]]:
    assert answer.status_code == 201, answer.content
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def errors(answer) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {each["field"]: each["detail"] for each in answer.json()["errors"]}


def test_each_device_is_a_row_with_all_that_goes_into_it(fleet):
    answer = give(fleet.operator, all=True, expires_at="2100-01-01T00:00:00Z")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="credentials.csv"'
    assert "no-store" in answer["Cache-Control"]
    first, *rest = rows(answer)
    token = first.pop("token")
    assert first == {
        "device_uid": "dev-01",
        "username": "dev-01",
        "client_id": "dev-01",
        "expires_at": "2100-01-01T00:00:00+00:00",
        "topic_prefix": "t0/devices/dev-01",
    }
    assert [row["device_uid"] for row in rest] == ["dev-02", "dev-03"]
    assert authenticate("dev-01", token, "dev-01")


def test_as_json_it_is_an_array_of_the_same(fleet):
    answer = give(fleet.operator, f"{URL}?as=json", device_uids=["dev-02", "dev-01"])
    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"] == 'attachment; filename="credentials.json"'
    found = json.loads(answer.content)
    assert [row["device_uid"] for row in found] == ["dev-01", "dev-02"]
    assert list(found[0]) == files.COLUMNS
    assert set(found[0]) == set(NewTokenSerializer().fields)
    assert found[0]["expires_at"] is None
    assert all(authenticate(row["username"], row["token"]) for row in found)


@pytest.mark.parametrize(
    ("target", "uids"),
    [
        ({"all": True}, ["dev-01", "dev-02", "dev-03"]),
        ({"labels": {"site": "Hanoi"}}, ["dev-02"]),
        ({"device_uids": ["dev-03", "dev-01", "dev-03"]}, ["dev-01", "dev-03"]),
    ],
)
def test_devices_are_chosen_as_for_commands(fleet, target, uids):
    assert [row["device_uid"] for row in rows(give(fleet.operator, **target))] == uids
    assert Credential.objects.count() == len(uids)


def test_a_disabled_device_gets_one_too(fleet):
    Device.objects.update(is_enabled=False)
    assert len(rows(give(fleet.operator, all=True))) == 3


def test_those_so_far_end_and_gateways_stay_what_they_are(fleet):
    meter = Device.objects.get(device_uid="dev-02")
    former = people.token(fleet.device, gateway_for=[meter])
    token = rows(give(fleet.operator, device_uids=["dev-01"]))[0]["token"]
    assert authenticate("dev-01", former) is None
    assert ("t0", "dev-02") in authenticate("dev-01", token).names


def test_with_an_overlap_those_so_far_live_on(fleet):
    former = people.token(fleet.device)
    give(fleet.operator, all=True, overlap=60)
    assert authenticate("dev-01", former)


def test_mosquitto_is_told_every_token(fleet, settings):
    settings.MQTT_ACCESS = "mosquitto"
    found = {row["device_uid"]: row["token"] for row in rows(give(fleet.operator, all=True))}
    assert dict(BrokerChange.objects.values_list("device_uid", "token")) == found
    assert "one token" in errors(give(fleet.operator, all=True, overlap=60))["overlap"]


def test_a_uid_that_a_spreadsheet_would_compute_has_an_apostrophe(fleet):
    people.device("-1", fleet.t0)
    (row,) = rows(give(fleet.operator, device_uids=["-1"]))
    assert (row["device_uid"], row["username"], row["topic_prefix"]) == (
        "'-1",
        "'-1",
        "t0/devices/-1",
    )
    (plain,) = json.loads(give(fleet.operator, f"{URL}?as=json", device_uids=["-1"]).content)
    assert plain["username"] == "-1"


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "", "one of"),
        ({"all": True, "device_uids": ["dev-01"]}, "", "one of"),
        ({"device_uids": ["dev-01", "nobody", "foreign-01"]}, "device_uids", "nobody, foreign-01"),
        ({"labels": {"site": "Hue"}}, "labels", "No device of the tenant has these labels."),
        ({"all": True, "tenant": "other"}, "tenant", "There is no tenant “other”."),
        ({"all": True, "expires_at": "2020-01-01"}, "expires_at", "This is past."),
        ({"all": True, "overlap": "1"}, "overlap", "Use a whole number of seconds."),
        ({"all": True, "gateway_for": ["dev-02"]}, "gateway_for", "There is no such field"),
    ],
)
def test_what_cannot_be_is_refused_as_a_whole(fleet, body, field, said):
    assert said in errors(give(fleet.operator, **body))[field]
    assert not Credential.objects.exists()


def test_one_device_that_cannot_have_one_refuses_all(fleet, settings):
    people.device(f"{settings.MQTT_CLIENT_ID}-ingest", fleet.t0)
    assert "another uid" in errors(give(fleet.operator, all=True))["device_uid"]
    assert not Credential.objects.exists()


@pytest.mark.parametrize("query", ["as=xml", "dry_run=true", "as=csv&as=json"])
def test_a_parameter_that_is_not_understood_makes_nothing(fleet, query):
    assert give(fleet.operator, f"{URL}?{query}", all=True).status_code == 400
    assert not Credential.objects.exists()


def test_more_devices_than_a_file_holds_are_refused(fleet, monkeypatch):
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert "Choose fewer at a time" in errors(give(fleet.operator, all=True))[""]
    assert not Credential.objects.exists()


def test_a_viewer_gets_none_and_staff_name_the_tenant(fleet):
    assert give(fleet.viewer, all=True).status_code == 403
    assert "name the one" in errors(give(fleet.staff, all=True))["tenant"]
    answer = give(fleet.staff, all=True, tenant="other")
    assert [row["device_uid"] for row in rows(answer)] == ["foreign-01"]
    assert rows(answer)[0]["topic_prefix"] == "other/devices/foreign-01"


def test_over_the_oldest_http_the_file_has_its_length(fleet):
    answer = api(fleet.operator).post(URL, {"all": True}, SERVER_PROTOCOL="HTTP/1.0")
    assert len(rows(answer)) == 3
    assert int(answer["Content-Length"]) == len(answer.content)


def test_the_history_of_every_device_has_it_without_the_token(fleet):
    (row,) = rows(give(fleet.operator, device_uids=["dev-02"]))
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == ("dev-02", "New credential.")
    give(fleet.operator, all=True)
    assert LogEntry.objects.count() == 4
    assert row["token"] not in str(list(LogEntry.objects.values()))


def test_more_devices_take_no_more_statements(fleet):
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            rows(give(fleet.operator, all=True))
        return len(captured)

    rows(give(fleet.operator, all=True))
    few = statements()
    Device.objects.bulk_create(Device(device_uid=f"n-{n}", tenant=fleet.t0) for n in range(500))
    assert statements() == few
