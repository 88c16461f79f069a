"""The console's page of readings."""

from datetime import timedelta

import pytest
from django.db import connection
from django.urls import NoReverseMatch, reverse

from accounts.readonly import DEEPEST_PAGE
from devices.models import Device, DeviceType
from tests import cast as people
from tests.queries import plan_of, queries_of

READINGS = "/admin/telemetry/telemetry/"
TELEMETRY = "telemetry_telemetry"
FULL_PAGE = 50


def numbers(client, device: Device, **parameters) -> list[int]:
    """The `n` of the readings listed, which count back from noon by the minute."""
    response = client.get(READINGS, {"device": device.pk, **parameters})
    return [reading.payload["n"] for reading in response.context["cl"].result_list]


@pytest.fixture
def client(cast):
    return people.console(cast.operator)


def test_the_readings_of_a_device_are_listed_newest_first(cast, client):
    people.readings(cast.device, 60)
    assert numbers(client, cast.device) == list(range(FULL_PAGE))
    assert numbers(client, cast.device, p=2) == list(range(FULL_PAGE, 60))


def test_readings_of_one_moment_have_an_order(cast, client):
    people.readings(cast.device, 5, every=timedelta(0))
    assert numbers(client, cast.device) == [4, 3, 2, 1, 0]


def test_a_reading_is_shown_with_time_id_and_payload(cast, client):
    reading = people.reading(cast.device, temperature=21.5, place="Hà Nội")
    page = client.get(READINGS, {"device": cast.device.pk}).text
    assert "2026-01-14 12:00:00.000" in page
    assert reading.msg_id in page
    assert "&quot;Hà Nội&quot;" in page


def test_a_payload_is_never_markup(cast, client):
    people.reading(cast.device, evil="</pre><script>alert(1)</script>")
    page = client.get(READINGS, {"device": cast.device.pk}).text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_huge_payload_is_cut_short(cast, client):
    people.reading(cast.device, text="x" * 200_000)
    assert len(client.get(READINGS, {"device": cast.device.pk}).content) < 100_000


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        ({"ts_from_0": "2026-01-14", "ts_from_1": "11:58"}, [0, 1, 2]),
        ({"ts_to_0": "2026-01-14", "ts_to_1": "11:56:00"}, [4, 5]),
        ({"ts_from_0": "2026-01-14", "ts_to_0": "2026-01-14"}, [0, 1, 2, 3, 4, 5]),
        ({"ts_from_0": "2026-01-15"}, []),
        ({"ts_to_0": "2026-01-13"}, []),
    ],
)
def test_readings_are_chosen_by_time_and_a_day_means_all_of_it(cast, client, range_, expected):
    people.readings(cast.device, 6)
    assert numbers(client, cast.device, **range_) == expected


def test_a_time_that_cannot_be_read_is_said_so(cast, client):
    response = client.get(READINGS, {"device": cast.device.pk, "ts_from_0": "yesterday"})
    assert "Write days as 2026-01-31" in response.text


def test_the_next_page_keeps_device_and_time(cast, client):
    people.readings(cast.device, FULL_PAGE)
    response = client.get(READINGS, {"device": cast.device.pk, "ts_to_0": "2026-01-14"})
    assert f"device={cast.device.pk}&amp;p=2&amp;ts_to_0=2026-01-14" in response.text


def test_without_a_device_the_table_is_not_touched(cast, client):
    people.readings(cast.device, 3)
    assert not any(TELEMETRY in statement for statement in queries_of(client, READINGS))
    assert reverse("admin:devices_device_changelist") in client.get(READINGS).text


@pytest.mark.parametrize("device", ["", "0", "-1", "nonsense", "9" * 30, "\0", "1,2"])
def test_a_device_that_is_none_is_not_found(client, device):
    assert client.get(READINGS, {"device": device}).status_code == 404


def test_the_readings_of_others_and_of_deleted_devices_are_not_found(cast, client):
    Device.objects.filter(pk=cast.device.pk).retire()
    for device in (cast.foreign, cast.device):
        assert client.get(READINGS, {"device": device.pk}).status_code == 404


@pytest.mark.parametrize(
    "crafted",
    [
        {"device__isnull": "0"},
        {"device__gt": "0"},
        {"device__in": "1,2"},
        {"payload__n": "1"},
        {"msg_id__contains": "m"},
        {"id__gt": "0"},
        {"ts__gte": "2026-01-01"},
    ],
)
def test_no_other_filter_is_taken(cast, client, crafted):
    people.readings(cast.device, 3)
    assert client.get(READINGS, {"device": cast.device.pk, **crafted}).status_code == 400
    assert not any(TELEMETRY in statement for statement in queries_of(client, READINGS, **crafted))


@pytest.mark.parametrize(
    "crafted",
    [{}, {"q": "21"}, {"o": "1"}, {"o": "-2.3"}, {"all": ""}, {"_facets": "True"}, {"p": "3"}],
)
def test_every_question_to_the_table_is_a_short_scan_of_its_key(cast, client, crafted):
    fill_history(cast)
    statements = queries_of(client, READINGS, device=cast.device.pk, **crafted)
    (statement,) = [statement for statement in statements if TELEMETRY in statement]
    assert "LIMIT 50" in statement
    assert_scans_of_the_key(plan_of(statement))


def test_a_range_of_time_touches_its_own_weeks_alone(cast, client):
    fill_history(cast)
    asked = {"device": cast.device.pk, "ts_from_0": "2026-01-13", "ts_to_0": "2026-01-17"}
    (statement,) = [
        statement for statement in queries_of(client, READINGS, **asked) if TELEMETRY in statement
    ]
    scans = assert_scans_of_the_key(plan_of(statement))
    assert {scan["Relation Name"] for scan in scans} == {f"{TELEMETRY}_20260112"}


def fill_history(cast) -> None:
    """Three weeks of six devices, as PostgreSQL's planner knows them."""
    fleet = [people.device(f"fleet-{number}", cast.t0) for number in range(5)]
    for device in (cast.device, *fleet):
        people.readings(device, 1_000, every=timedelta(minutes=30))
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {TELEMETRY}")


def assert_scans_of_the_key(nodes: list[dict]) -> list[dict]:
    """Nothing but a backward scan of the key in each partition, merged without a sort."""
    scans = [node for node in nodes if "Relation Name" in node]
    assert scans
    assert {node["Node Type"] for node in nodes} <= {"Limit", "Append", "Index Scan"}
    for scan in scans:
        assert scan["Scan Direction"] == "Backward"
        assert scan["Index Name"].endswith("_pkey")
        assert "device_id = " in scan["Index Cond"]
        assert "Filter" not in scan
    return scans


def test_a_page_too_deep_is_refused_before_the_table_is_asked(cast, client):
    people.readings(cast.device, 3)
    response = client.get(READINGS, {"device": cast.device.pk, "p": DEEPEST_PAGE + 1})
    assert response.status_code == 302


def test_the_deepest_page_says_how_to_see_more(cast, client):
    people.readings(cast.device, FULL_PAGE * DEEPEST_PAGE + 1)
    page = client.get(READINGS, {"device": cast.device.pk, "p": DEEPEST_PAGE}).text
    assert "To see more, narrow the list with the filters." in page


@pytest.mark.parametrize("page", ["add", "change", "delete", "history"])
def test_a_single_reading_has_no_page(page):
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:{TELEMETRY}_{page}", args=[1] if page != "add" else [])


@pytest.mark.parametrize("end", ["", "change/", "delete/", "history/"])
def test_no_address_looks_for_a_reading_by_its_id_alone(
    cast, client, end, django_assert_num_queries
):
    reading = people.reading(cast.device)
    with django_assert_num_queries(2):  # the session and the user
        assert client.get(f"{READINGS}{reading.pk}/{end}").status_code == 404


def test_the_export_has_the_range_that_is_shown_with_both_ends(cast, client):
    people.readings(cast.device, 3)
    response = client.get(
        READINGS, {"device": cast.device.pk, "ts_from_0": "2026-01-14", "ts_to_0": "2026-01-14"}
    )
    address = response.context["exports"]["ndjson"]
    assert address == (
        "/telemetry/dev-01/export?as=ndjson&from=2026-01-14T00%3A00%3A00%2B00%3A00"
        "&to=2026-01-15T00%3A00%3A00%2B00%3A00"
    )
    lines = b"".join(client.get(address).streaming_content).splitlines()
    assert len(lines) == 3


def test_the_units_of_the_type_are_said(cast, client):
    fields = {"temperature": {"label": "Temperature", "unit": "°C"}, "state": {"label": "State"}}
    cast.device.type = DeviceType.objects.create(tenant=cast.t0, name="Meter", fields=fields)
    cast.device.save()
    page = client.get(READINGS, {"device": cast.device.pk}).text
    assert "Units: Temperature °C</p>" in page


def test_where_nothing_was_sent_the_page_says_so(cast, client):
    assert (
        "The device has sent nothing yet." in client.get(READINGS, {"device": cast.device.pk}).text
    )
