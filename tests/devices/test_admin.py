"""The console's pages of devices: what they show, what they let people change, and at what cost."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from devices.console.shown import in_brief
from devices.models import Device
from tests import cast as people
from tests.queries import queries_of

DEVICES = "/admin/devices/device/"
NEW = {"device_uid": "dev-99", "name": "Ninety-nine", "is_enabled": "on", "labels": "{}"}


def change_page(device: Device) -> str:
    return reverse("admin:devices_device_change", args=[device.pk])


def delete_page(device: Device) -> str:
    return reverse("admin:devices_device_delete", args=[device.pk])


def uids_listed(client, **parameters) -> list[str]:
    return [
        device.device_uid for device in client.get(DEVICES, parameters).context["cl"].result_list
    ]


@pytest.fixture
def heard(cast):
    """A device that was heard a minute ago."""
    now = timezone.now()
    latest = {"temperature": [21.5, 1_768_392_000_000.0], "door": ["open", 1_768_392_000_000.0]}
    return people.device(
        "dev-02",
        cast.t0,
        session="offline",
        since=now - timedelta(hours=3),
        reason="keep-alive <timeout>",
        last_seen_at=now - timedelta(seconds=60),
        latest=latest,
    )


def test_the_list_shows_the_devices_of_the_tenant(cast):
    assert uids_listed(people.console(cast.viewer)) == ["dev-01"]
    assert uids_listed(people.console(cast.staff)) == ["dev-01", "foreign-01"]


def test_the_list_says_how_each_device_is(cast, heard):
    page = people.console(cast.viewer).get(DEVICES).text
    assert "Offline" in page
    assert "a minute ago" in page
    assert "door open, temperature 21.5" in page


def test_a_device_that_was_never_heard_is_unknown(cast):
    page = people.console(cast.viewer).get(change_page(cast.device)).text
    assert "Unknown" in page
    assert "never" in page
    assert "Nothing yet." in page


def test_the_page_shows_session_reason_and_latest_values_with_their_times(cast, heard):
    page = people.console(cast.viewer).get(change_page(heard)).text
    assert "keep-alive &lt;timeout&gt;" in page
    assert "2026-01-14 12:00:00.000 UTC" in page
    assert "&quot;open&quot;" in page


def test_what_a_device_said_is_never_markup(cast):
    evil = "<script>alert(1)</script>"
    people.device("evil", cast.t0, latest={evil: [evil, 0.0]}, reason=evil)
    client = people.console(cast.operator)
    pages = (
        client.get(DEVICES).text
        + client.get(change_page(Device.objects.get(device_uid="evil"))).text
    )
    assert evil not in pages
    assert "&lt;script&gt;alert(1)" in pages


@pytest.mark.parametrize(
    ("session", "listed"), [("online", []), ("offline", ["dev-02"]), ("unknown", ["dev-01"])]
)
def test_devices_are_found_by_session(cast, heard, session, listed):
    assert uids_listed(people.console(cast.viewer), session=session) == listed


def test_devices_are_found_by_uid_name_and_whether_they_are_enabled(cast, heard):
    client = people.console(cast.viewer)
    assert uids_listed(client, q="EV-02") == ["dev-02"]
    assert uids_listed(client, q="Device dev-01") == ["dev-01"]
    assert uids_listed(client, is_enabled__exact="0") == []


def test_only_staff_can_filter_by_tenant(cast):
    staff, viewer = (people.console(user) for user in (cast.staff, cast.viewer))
    assert uids_listed(staff, tenant__id__exact=cast.other.pk) == ["foreign-01"]
    assert "Other Ltd" in staff.get(DEVICES).text
    assert "Other Ltd" not in viewer.get(DEVICES).text


@pytest.mark.parametrize(
    "parameter",
    ["session", "is_enabled__exact", "tenant__id__exact", "label", "alert", "q", "o", "p"],
)
@pytest.mark.parametrize("value", ["", "nonsense", "-1", "9" * 30, "\0"])
def test_no_parameter_brings_the_list_down(cast, parameter, value):
    assert people.console(cast.staff).get(DEVICES, {parameter: value}).status_code < 500


def test_devices_that_were_heard_last_come_first(cast, heard):
    column = list(people.console(cast.operator).get(DEVICES).context["cl"].list_display).index(
        "last_seen"
    )
    assert uids_listed(people.console(cast.operator), o=-column) == ["dev-02", "dev-01"]


def test_an_operator_creates_a_device_of_their_tenant(cast):
    people.console(cast.operator).post(f"{DEVICES}add/", NEW | {"tenant": cast.other.pk})
    device = Device.objects.get(device_uid="dev-99")
    assert (device.tenant, device.name, device.is_enabled) == (cast.t0, "Ninety-nine", True)


def test_staff_choose_the_tenant_of_a_new_device(cast):
    people.console(cast.staff).post(f"{DEVICES}add/", NEW | {"tenant": cast.other.pk})
    assert Device.objects.get(device_uid="dev-99").tenant == cast.other


@pytest.mark.parametrize("uid", ["", "a/b", "a b", "+", "dev-01", "foreign-01"])
def test_a_uid_that_is_no_level_of_a_topic_or_is_taken_is_refused(cast, uid):
    response = people.console(cast.operator).post(f"{DEVICES}add/", NEW | {"device_uid": uid})
    assert response.context["adminform"].form.errors.keys() == {"device_uid"}


def test_name_labels_and_enabled_change_but_uid_and_tenant_never(cast):
    crafted = {
        "name": "Roof",
        "labels": '{"site": "Hanoi"}',
        "device_uid": "x",
        "tenant": cast.other.pk,
    }
    people.console(cast.staff).post(change_page(cast.device), crafted)
    device = Device.objects.get(pk=cast.device.pk)
    assert (device.name, device.labels, device.is_enabled) == ("Roof", {"site": "Hanoi"}, False)
    assert (device.device_uid, device.tenant) == ("dev-01", cast.t0)


@pytest.mark.parametrize("empty", ["", "{}", "null", "[]"])
def test_empty_labels_are_no_labels(cast, empty):
    fields = {"name": "Roof", "is_enabled": "on", "labels": empty}
    people.console(cast.operator).post(change_page(cast.device), fields)
    device = Device.objects.get(pk=cast.device.pk)
    assert (device.name, device.labels) == ("Roof", {})


@pytest.mark.parametrize(
    "labels",
    [
        "{",
        "1",
        "0",
        "false",
        '["a"]',
        '{"a": 1}',
        '{"a": null}',
        r'{"a": "\u0000"}',
        r'{"\ud800": "b"}',
    ],
)
def test_labels_that_are_no_object_of_texts_are_refused(cast, labels):
    response = people.console(cast.operator).post(change_page(cast.device), {"labels": labels})
    assert response.context["adminform"].form.errors.keys() == {"labels"}


def test_two_people_on_the_same_page_each_write_what_they_changed(cast):
    page, client = change_page(cast.device), people.console(cast.operator)
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    statements = queries_of(client, page, "post", name="Roof", labels="{}")
    (update,) = [sql for sql in statements if sql.startswith('UPDATE "devices_device"')]
    assert "is_enabled" not in update


def test_a_deleted_device_is_retired_and_gone_from_sight(cast):
    client = people.console(cast.operator)
    client.post(delete_page(cast.device), {"post": "yes"})
    device = Device.objects.get(pk=cast.device.pk)
    assert device.deleted_at is not None
    assert not device.is_enabled
    assert client.get(change_page(device)).status_code == 404


def test_the_page_of_confirmation_says_what_becomes_of_the_readings(cast):
    page = people.console(cast.operator).get(delete_page(cast.device)).text
    assert "refused from now on, its readings are erased later" in page


def test_creating_changing_and_deleting_are_in_the_history(cast):
    client = people.console(cast.operator)
    client.post(change_page(cast.device), {"name": "Roof", "is_enabled": "on", "labels": "{}"})
    client.post(delete_page(cast.device), {"post": "yes"})
    entries = LogEntry.objects.filter(object_id=cast.device.pk).order_by("pk")
    assert [entry.get_change_message() for entry in entries] == ["Changed Name.", ""]
    assert entries.last().is_deletion()


def test_a_viewer_finds_no_button_to_change_anything(cast):
    page = people.console(cast.viewer).get(change_page(cast.device)).text
    assert 'name="_save"' not in page
    assert delete_page(cast.device) not in page


def test_the_page_leads_to_the_readings(cast):
    page = people.console(cast.viewer).get(change_page(cast.device)).text
    assert f"/admin/telemetry/telemetry/?device={cast.device.pk}" in page


def test_a_longer_list_takes_no_more_queries(cast, heard):
    client = people.console(cast.staff)
    few = len(queries_of(client, DEVICES))
    for number in range(10, 40):
        people.device(f"dev-{number}", cast.t0, latest={"n": [number, 0.0]})
    assert len(queries_of(client, DEVICES)) == few


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (21.51234, "21.512"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        ("open", "open"),
        ("x" * 99, "x" * 23 + "…"),
        ({"lat": 1}, "…"),
    ],
)
def test_a_value_is_shown_in_brief(value, shown):
    assert in_brief(value) == shown
