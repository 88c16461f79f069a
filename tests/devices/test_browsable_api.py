"""The API's pages for people, of devices and their types, logged in and out."""

import html
import json

import pytest
from django.test import Client

from devices.models import Device, DeviceType
from tests import cast as people

PAGE = {"Accept": "text/html"}


@pytest.fixture
def addresses(cast) -> list[str]:
    people.device("a.b.c", cast.t0, latest={"<b>temp</b>": [21.5, 0.0]})
    kind = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    return ["/devices", "/devices/a.b.c", "/device-types", f"/device-types/{kind.pk}"]


@pytest.mark.parametrize("actor", people.ACTORS)
def test_every_actor_gets_a_page_of_what_the_actor_may_see(cast, addresses, actor):
    browser = people.console(getattr(cast, actor), headers=PAGE)
    for address in addresses:
        answer = browser.get(address)
        is_foreign = actor == "stranger" and address not in ("/devices", "/device-types")
        assert answer.status_code == (404 if is_foreign else 200)
        assert answer["Content-Type"].startswith("text/html")
        assert actor == "stranger" or "sensor" in answer.text or "a.b.c" in answer.text


def test_who_is_not_logged_in_gets_a_page_that_says_so(addresses):
    for address in addresses:
        answer = Client(headers=PAGE).get(address)
        assert (answer.status_code, answer["Content-Type"][:9]) == (401, "text/html")
        assert "Log in at /auth/login" in answer.text


def test_what_a_device_said_is_never_markup(cast, addresses):
    page = people.console(cast.viewer, headers=PAGE).get("/devices/a.b.c").text
    assert "<b>temp" not in page
    assert "&lt;b&gt;temp" in page


def test_a_page_of_a_narrowed_list_leads_on(cast, addresses):
    browser = people.console(cast.viewer, headers=PAGE)
    page = browser.get("/devices?label=site&search=x&ordering=-last_seen_at&limit=1")
    assert page.status_code == 200


def test_a_wrong_parameter_is_explained_on_a_page(cast, addresses):
    page = people.console(cast.viewer, headers=PAGE).get("/devices?online=perhaps")
    assert page.status_code == 400
    assert "Use true or false." in page.text


def test_an_operator_works_from_the_page(cast, addresses):
    browser = people.console(cast.operator, headers=PAGE)
    changed = browser.patch("/devices/a.b.c", {"name": "Roof"}, "application/json")
    assert "Roof" in changed.text
    created = browser.post("/devices", {"device_uid": "x.y"}, "application/json")
    assert (created.status_code, created["Location"]) == (201, "http://testserver/devices/x.y")
    # A page needs something to show, so the status is written on it.
    assert "HTTP 204 No Content" in browser.delete("/devices/x.y").text


def form_of(page) -> dict:
    """What a page offers to send."""
    text = page.text.partition('name="_content"')[2].partition("</textarea>")[0]
    return json.loads(html.unescape(text.partition(">")[2]))


def test_the_form_of_changes_begins_with_what_is_there(cast, addresses):
    Device.objects.filter(device_uid="a.b.c").update(labels={"site": "Hue"}, is_enabled=False)
    page = people.console(cast.operator, headers=PAGE).get("/devices/a.b.c")
    assert form_of(page) == {
        "name": "Device a.b.c",
        "type": None,
        "is_enabled": False,
        "labels": {"site": "Hue"},
    }


def test_the_form_of_something_new_can_be_sent_as_it_is_but_for_its_name(cast, addresses):
    browser = people.console(cast.admin, headers=PAGE)
    for address, name in (("/devices", "device_uid"), ("/device-types", "name")):
        sent = form_of(browser.get(address)) | {name: "x.y"}
        assert browser.post(address, sent, "application/json").status_code == 201
    assert Device.objects.get(device_uid="x.y").is_enabled
