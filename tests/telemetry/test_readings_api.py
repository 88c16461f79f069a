"""GET /telemetry/{device_uid}: the newest readings, and the way back through all of them."""

import json
import re
import tracemalloc
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import VISIBLE_DEVICE, Device, visibility
from telemetry import history
from telemetry.history import RECENT, History
from telemetry.models import Telemetry
from tests import cast as people
from tests.cast import ACTORS, NOON, api

MINUTE = timedelta(minutes=1)


@pytest.fixture
def viewer(cast):
    return api(cast.viewer)


def numbers(response):
    assert response.status_code == 200, response.content
    return [each["payload"].get("n") for each in response.json()]


def neighbour(response, relation):
    found = re.search(rf'<([^>]*)>; rel="{relation}"', response.headers.get("Link", ""))
    return found and found[1]


def test_the_hundred_newest_come_first(viewer, cast):
    people.readings(cast.device, 120)
    assert numbers(viewer.get("/telemetry/dev-01")) == list(range(100))


def test_a_reading_is_what_it_was_for_the_service_before(viewer, cast):
    at = NOON + timedelta(seconds=0.25)
    made = people.reading(cast.device, at, temp=21.5, tags=["a", None], nested={"ok": True})
    assert viewer.get("/telemetry/dev-01").json() == [
        {
            "device_uid": "dev-01",
            "payload": {"temp": 21.5, "tags": ["a", None], "nested": {"ok": True}},
            "ts": "2026-01-14T12:00:00.250000+00:00",
            "msg_id": made.msg_id,
        }
    ]


def test_a_device_that_said_nothing_has_an_empty_list(viewer):
    assert numbers(viewer.get("/telemetry/dev-01")) == []


def test_an_address_may_end_with_a_slash(viewer):
    assert viewer.get("/telemetry/dev-01/").json() == []


@pytest.mark.parametrize("uid", ["foreign-01", "nobody", "DEV-01", "a.b.c"])
def test_a_device_that_cannot_be_seen_is_not_found(viewer, uid):
    response = viewer.get(f"/telemetry/{uid}")
    assert response.status_code == 404
    assert uid not in response.json()["detail"]


def test_the_readings_of_a_deleted_device_are_gone(viewer, cast):
    people.reading(cast.device, n=1)
    Device.objects.filter(pk=cast.device.pk).retire()
    assert viewer.get("/telemetry/dev-01").status_code == 404


def test_since_is_included_and_until_is_not(viewer, cast):
    people.readings(cast.device, 10)
    response = viewer.get(
        "/telemetry/dev-01", {"from": "2026-01-14T11:55:00Z", "to": "2026-01-14T11:58:00Z"}
    )
    assert numbers(response) == [3, 4, 5]


def test_a_plus_that_an_address_turned_into_a_space_is_understood(viewer, cast):
    people.readings(cast.device, 10)
    assert numbers(viewer.get("/telemetry/dev-01?from=2026-01-14T18:58:00+07:00")) == [0, 1, 2]


def test_the_oldest_come_first_when_asked(viewer, cast):
    people.readings(cast.device, 10)
    assert numbers(viewer.get("/telemetry/dev-01?order=asc&limit=3")) == [9, 8, 7]


def test_of_the_payloads_only_some_keys_can_be_had(viewer, cast):
    people.reading(cast.device, temp=1, hum=2, odd=3)
    people.reading(cast.device, NOON - MINUTE, hum=4)
    response = viewer.get("/telemetry/dev-01?keys=temp,odd")
    assert [each["payload"] for each in response.json()] == [{"temp": 1, "odd": 3}, {}]


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("limit", [1, 7, 24, 25])
@pytest.mark.parametrize("every", [MINUTE, timedelta(days=3), timedelta(0)])
def test_pages_one_after_the_other_are_the_whole_history(viewer, cast, order, limit, every):
    people.readings(cast.device, 25, every)
    whole = viewer.get(f"/telemetry/dev-01?order={order}").json()
    url, walked, last = f"/telemetry/dev-01?order={order}&limit={limit}", [], None
    while url:
        last = viewer.get(url)
        walked += last.json()
        url = neighbour(last, "next")
    assert walked == whole
    assert len({each["msg_id"] for each in walked}) == 25


def test_the_way_back_is_the_way_there(viewer, cast):
    people.readings(cast.device, 30, timedelta(days=1))
    first = viewer.get("/telemetry/dev-01?limit=10")
    second = viewer.get(neighbour(first, "next"))
    assert viewer.get(neighbour(second, "prev")).json() == first.json()


def test_a_page_across_the_border_of_what_is_recent_is_whole(viewer, cast):
    people.reading(cast.device, NOON, n=0)
    people.reading(cast.device, NOON - RECENT, n=1)
    people.reading(cast.device, NOON - RECENT - timedelta(microseconds=1), n=2)
    assert numbers(viewer.get("/telemetry/dev-01?to=2026-01-14T12:00:00.000001Z")) == [0, 1, 2]


@pytest.mark.parametrize("every", [MINUTE, timedelta(days=30)])
def test_it_takes_two_statements_at_most_besides_the_login(
    viewer, cast, django_assert_max_num_queries, every
):
    people.readings(cast.device, 12, every)
    with django_assert_max_num_queries(3):
        viewer.get("/telemetry/dev-01?limit=10")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-30T00:00:00Z"}, "from"),
        ({"from": "2026-01-14T12:00:00+16:00"}, "from"),
        ({"to": "0001-01-01T00:00:00+01:00"}, "to"),
        ({"from": "\0"}, "from"),
        ({"from": "2026-01-14T12:00:00Z", "to": "2026-01-14T12:00:00Z"}, "to"),
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"order": "up"}, "order"),
        ({"keys": ","}, "keys"),
        ({"keys": "a\0"}, "keys"),
        ({"cursor": "x"}, "cursor"),
        ({"since": "2026-01-14"}, "since"),
    ],
)
def test_a_question_that_is_none_is_refused_with_the_reason(viewer, parameters, field):
    response = viewer.get("/telemetry/dev-01", parameters)
    assert response.status_code == 400
    assert [each["field"] for each in response.json()["errors"]] == [field]


@pytest.mark.parametrize("name", ACTORS)
def test_the_rule_of_the_statement_is_the_rule_of_the_queryset(cast, name):
    user = getattr(cast, name)
    Device.objects.create(device_uid="gone", tenant=cast.t0).delete()
    Device.objects.create(device_uid="retired", tenant=cast.t0)
    Device.objects.filter(device_uid="retired").retire()
    by_hand = Device.objects.raw(
        f"SELECT id, device_uid FROM devices_device WHERE {VISIBLE_DEVICE}", visibility(user)
    )
    assert {d.device_uid for d in by_hand} == {
        d.device_uid for d in Device.objects.visible_to(user)
    }


def test_a_recent_page_looks_into_recent_weeks_only(cast, django_assert_num_queries):
    people.readings(cast.device, 3, timedelta(days=70))
    wanted = History(user=cast.viewer, device_uid="dev-01", end=NOON + MINUTE)
    with django_assert_num_queries(1) as captured:
        assert len(wanted.newest(1).rows) == 1
    assert "ts >= '2025-12-31" in captured[0]["sql"]


def test_until_a_time_far_ahead_no_old_week_is_looked_into(viewer, cast, django_assert_num_queries):
    people.reading(cast.device, timezone.now() + timedelta(hours=23), n=0)
    people.reading(cast.device, timezone.now(), n=1)
    with django_assert_num_queries(2):
        assert numbers(viewer.get("/telemetry/dev-01?to=2099-01-01&limit=1")) == [0]


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("every", [MINUTE, timedelta(days=3), timedelta(0)])
def test_pages_cut_short_are_the_whole_history_too(viewer, cast, monkeypatch, order, every):
    people.readings(cast.device, 25, every)
    url = f"/telemetry/dev-01?order={order}"
    whole, pages = viewer.get(url).json(), []
    monkeypatch.setattr(history, "FETCHED", 3)
    monkeypatch.setattr(history, "LARGEST_PAGE", 4 * 100)
    while url:
        page = viewer.get(url)
        pages.append(page.json())
        url = neighbour(page, "next")
    assert [each for page in pages for each in page] == whole
    assert max(map(len, pages)) <= 6
    assert viewer.get(neighbour(page, "prev")).json()[-1] == pages[-2][-1]


def test_of_readings_too_large_for_a_page_little_more_than_the_page_is_read(viewer, cast):
    text = "x" * 200_000
    people.readings(cast.device, 300)
    Telemetry.objects.update(payload={"text": text})
    tracemalloc.start()
    page = viewer.get("/telemetry/dev-01?limit=300")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120_000_000
    assert len(page.content) < 30_000_000
    assert neighbour(page, "next")


def test_a_page_of_a_hundred_is_never_cut(viewer, cast):
    people.readings(cast.device, 100)
    Telemetry.objects.update(payload={"text": "x" * 200_000})
    page = viewer.get("/telemetry/dev-01")
    assert (len(page.json()), neighbour(page, "next")) == (100, None)


def test_what_is_stored_comes_out_as_it_went_in(viewer, cast):
    payload = {"ü\u2028": "\U0001f600", "big": 2**63, "small": 1e-300, "": ""}
    people.reading(cast.device)
    Telemetry.objects.filter(device=cast.device).update(payload=payload)
    assert json.loads(viewer.get("/telemetry/dev-01").content)[0]["payload"] == payload


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_ends_of_time_are_times_too(cast, moment):
    people.reading(cast.device)
    for name in ("from", "to"):
        assert api(cast.viewer).get(f"/telemetry/dev-01?{name}={moment}").status_code == 200
