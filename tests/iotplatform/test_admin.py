"""The console's frame: the menu of each person, and the home page."""

from datetime import timedelta
from html import unescape

import pytest
from django.template.loader import get_template
from django.utils import timezone

from iotplatform import admin
from tests import cast as people
from tests.queries import queries_of


def menu(client) -> list[str]:
    groups = client.get("/admin/").context["sidebar_navigation"]
    return [item["title"] for group in groups for item in group["items"]]


def cards(client) -> dict[str, str]:
    return {card["title"]: str(card["value"]) for card in client.get("/admin/").context["cards"]}


FLEET = ["Home", "Devices", "Device types", "Commands", "Command batches"]


@pytest.mark.parametrize(
    ("actor", "offered"),
    [
        ("viewer", FLEET),
        ("operator", [*FLEET, "Broker changes", "Rejected messages"]),
        (
            "admin",
            [*FLEET, "Broker changes", "Rejected messages", "Users", "Tenants", "Enrolment keys"],
        ),
        (
            "staff",
            [*FLEET, "Broker changes", "Rejected messages", "Users", "Tenants", "Enrolment keys"],
        ),
    ],
)
def test_the_menu_offers_what_a_person_may_see(cast, actor, offered):
    client = people.console(getattr(cast, actor))
    assert menu(client) == offered
    links = [item["link"] for group in admin.navigation(client.get("/admin/").wsgi_request)
             for item in group["items"]]  # fmt: skip
    assert [client.get(link).status_code for link in links] == [200] * len(offered)


def test_the_home_page_counts_what_a_person_may_see(cast):
    seen = timezone.now() - timedelta(seconds=5)
    people.device("dev-02", cast.t0, session="online", last_seen_at=seen)
    people.device("foreign-02", cast.other, session="online", last_seen_at=timezone.now())
    people.rejected(cast.t0)
    people.rejected(cast.other)
    shown = cards(people.console(cast.operator))
    assert (shown["Devices"], shown["Online"], shown["Rejected messages, open"]) == ("2", "1", "1")
    assert "seconds ago" in shown["Newest message"]


def test_a_viewer_is_told_nothing_of_rejected_messages(cast):
    assert "Rejected messages, open" not in cards(people.console(cast.viewer))


def test_every_number_leads_to_its_list(cast):
    client = people.console(cast.operator)
    page = client.get("/admin/")
    for card in page.context["cards"]:
        assert f'href="{card["link"]}"' in page.text
        assert client.get(card["link"]).status_code == 200


def test_rejected_messages_are_counted_up_to_a_limit(cast, monkeypatch):
    monkeypatch.setattr(admin, "COUNTED", 3)
    for _ in range(5):
        people.rejected(cast.t0)
    assert cards(people.console(cast.operator))["Rejected messages, open"] == "3+"


def test_the_home_page_asks_little_and_nothing_of_the_readings(cast):
    client = people.console(cast.staff)
    few = len(queries_of(client, "/admin/"))
    for number in range(20):
        people.readings(people.device(f"fleet-{number}", cast.t0, session="online"), 2)
    statements = queries_of(client, "/admin/")
    assert len(statements) == few <= 6
    assert not any("telemetry_telemetry" in statement for statement in statements)


def test_an_empty_platform_shows_how_to_send_a_first_message(cast, settings):
    cast.foreign.delete()
    settings.MQTT_HOST, settings.MQTT_PORT = "broker.example", 8883
    page = people.console(cast.stranger).get("/admin/").text
    assert "mosquitto_pub -h broker.example -p 8883 -q 1 -t other/devices/my-first-device/" in page
    assert "One appears here with its first message" in page


def test_without_registration_the_device_is_to_be_created_first(cast, settings):
    cast.foreign.delete()
    settings.AUTO_REGISTER = False
    page = people.console(cast.stranger).get("/admin/").text
    assert "Create the device “my-first-device”" in page


@pytest.mark.parametrize("access", ["emqx", "mosquitto"])
def test_where_a_token_is_asked_for_it_is_shown_how_to_come_by_one(cast, settings, access):
    cast.foreign.delete()
    settings.MQTT_ACCESS = access
    page = unescape(people.console(cast.stranger).get("/admin/").text)
    assert "“New credential” on its page" in page
    assert "-u my-first-device -i my-first-device -P … -q 1 -t other/devices/" in page


def test_where_devices_enrol_it_is_shown_how(cast, settings):
    cast.foreign.delete()
    settings.ENROLMENT, settings.AUTO_REGISTER = True, False
    page = unescape(people.console(cast.stranger).get("/admin/").text)
    assert "Make an enrolment key" in page
    assert "curl http://testserver/enroll -H" in page
    assert "mosquitto_pub" not in page


def test_a_platform_with_devices_shows_no_such_hint(cast):
    assert "mosquitto_pub" not in people.console(cast.viewer).get("/admin/").text


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/admin/devices/device/0/change/", 404, "There is no such page"),
        ("/admin/accounts/user/", 403, "Your role does not allow this"),
    ],
)
def test_a_page_that_is_refused_says_why_and_leads_home(cast, address, status, words):
    answer = people.console(cast.viewer).get(address)
    assert answer.status_code == status
    assert words in answer.text
    assert 'href="/admin/"' in answer.text


def test_the_page_of_our_own_errors_needs_nothing_that_may_be_broken():
    assert "went wrong" in get_template("500.html").render()


def test_style_and_icon_are_our_own(cast):
    page = people.console(cast.viewer).get("/admin/").text
    assert "/static/accounts/console.css" in page
    assert "/static/accounts/favicon.svg" in page
