"""GET /export/devices: which devices, in which form, and at what cost."""

import json

import pytest
from django.db import DataError, transaction
from django.db.models.expressions import RawSQL

from devices.bulk.views import ExportView
from devices.models import Device
from tests import cast as people
from tests.devices.bulk.conftest import exported


def uids(file: bytes) -> list[str]:
    return [row["device_uid"] for row in json.loads(file)]


@pytest.fixture
def fleet(cast):
    people.device("dev-03", cast.t0, session="online")
    people.device("dev-02", cast.t0)
    Device.objects.filter(device_uid="dev-02").update(is_enabled=False, labels={"site": "Hanoi"})
    return cast


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["dev-01", "dev-02", "dev-03"]),
        ({"is_enabled": "false"}, ["dev-02"]),
        ({"label": "site:Hanoi"}, ["dev-02"]),
        ({"online": "true"}, ["dev-03"]),
        ({"search": "3"}, ["dev-03"]),
        ({"tenant": "other"}, []),
        ({"ordering": "-device_uid"}, ["dev-03", "dev-02", "dev-01"]),
    ],
)
def test_the_filters_are_those_of_the_list(fleet, query, found):
    assert uids(exported(fleet.viewer, **query, **{"as": "json"})) == found
    assert [
        each["device_uid"] for each in people.api(fleet.viewer).get("/devices", query).json()
    ] == found


def test_json_has_every_device_with_what_can_be_set(fleet):
    (device,) = json.loads(exported(fleet.viewer, search="dev-02", **{"as": "json"}))
    assert device == {
        "device_uid": "dev-02",
        "name": "Device dev-02",
        "tenant": "t0",
        "type": None,
        "is_enabled": False,
        "labels": {"site": "Hanoi"},
    }


def test_no_device_is_an_empty_array_or_a_table_without_rows(fleet):
    assert exported(fleet.viewer, search="nothing", **{"as": "json"}) == b"[]\n"
    assert exported(fleet.viewer, search="nothing").count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("kind", "content_type"), [("csv", "text/csv; charset=utf-8"), ("json", "application/json")]
)
@pytest.mark.parametrize("accepted", ["*/*", "text/csv", "application/json", "text/html"])
def test_the_kind_is_what_was_asked_for_whatever_is_accepted(cast, kind, content_type, accepted):
    answer = people.api(cast.viewer).get(f"/export/devices?as={kind}", headers={"Accept": accepted})
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert answer["Content-Disposition"] == f'attachment; filename="devices.{kind}"'


def test_csv_is_what_comes_if_nothing_is_said(cast):
    assert exported(cast.viewer) == exported(cast.viewer, **{"as": "csv"})


@pytest.mark.parametrize(
    "query",
    [
        {"as": "xml"},
        {"as": ""},
        {"limit": "1"},
        {"cursor": "x"},
        {"format": "json"},
        {"is_enabled": "perhaps"},
        {"serach": "x"},
        {"search": "\0"},
    ],
)
def test_a_parameter_that_is_not_understood_never_gives_all_devices(cast, query):
    answer = people.api(cast.viewer).get("/export/devices", query, headers={"Accept": "text/csv"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == next(iter(query))


def test_the_headers_alone_make_no_file(cast, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        answer = people.api(cast.viewer).head("/export/devices")
    assert answer["Content-Disposition"] == 'attachment; filename="devices.csv"'


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_file_is_handed_out_while_it_is_read(cast, kind, monkeypatch):
    monkeypatch.setattr("devices.bulk.files.CHUNK", 10)
    Device.objects.bulk_create(
        Device(device_uid=f"n-{number:02}", tenant=cast.t0) for number in range(45)
    )
    answer = people.api(cast.viewer).get("/export/devices", {"as": kind})
    pieces = [piece.count(b"n-") for piece in answer.streaming_content]
    assert (sum(pieces), max(pieces)) == (45, 10)
    assert pieces[0] >= 8  # The heading takes a line, and dev-01 is the first device.


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_fault_is_no_half_file(cast, kind, monkeypatch):
    broken = Device.objects.order_by(RawSQL("1 / 0", ()))
    monkeypatch.setattr(ExportView, "get_queryset", lambda view: broken)
    with pytest.raises(DataError), transaction.atomic():
        people.api(cast.viewer).get("/export/devices", {"as": kind})


def test_half_a_file_that_would_look_whole_is_not_sent(cast):
    answer = people.api(cast.viewer).get("/export/devices", SERVER_PROTOCOL="HTTP/1.0")
    assert (answer.status_code, answer.json()["code"]) == (505, "http_version")
