"""The console's frame: the menu of each person, its style, and pages that are refused."""

import pytest
from django.template.loader import get_template

from iotplatform import admin
from tests import cast as people


def menu(client) -> list[str]:
    groups = client.get("/admin/").context["sidebar_navigation"]
    return [item["title"] for group in groups for item in group["items"]]


FLEET = ["Home", "Devices", "Device types", "Alerts"]
COMMANDS = ["Commands", "Command batches"]
TROUBLE = ["Broker changes", "Rejected messages"]
ALL = [*FLEET, "Alert rules", *COMMANDS, *TROUBLE]
ACCESS = ["Users", "Tenants", "Enrolment keys", "History"]


@pytest.mark.parametrize(
    ("actor", "offered"),
    [
        ("viewer", [*FLEET, *COMMANDS]),
        ("operator", ALL),
        ("admin", [*ALL, *ACCESS]),
        ("staff", [*ALL, *ACCESS]),
    ],
)
def test_the_menu_offers_what_a_person_may_see(cast, actor, offered):
    client = people.console(getattr(cast, actor))
    assert menu(client) == offered
    links = [item["link"] for group in admin.navigation(client.get("/admin/").wsgi_request)
             for item in group["items"]]  # fmt: skip
    assert [client.get(link).status_code for link in links] == [200] * len(offered)


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
