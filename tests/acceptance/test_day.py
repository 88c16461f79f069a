"""An operator's day in a real browser, with all processes at work and a device that answers."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.models import Role, User
from devices.models import DeviceState, DeviceType
from telemetry.models import RejectedMessage, Telemetry
from tests import cast as people
from tests.acceptance.browsers import watched
from tests.acceptance.fleet import Fleet
from tests.acceptance.ledger import wait_until
from tests.acceptance.processes import Platform
from tests.acceptance.web import serving

pytestmark = [pytest.mark.chromium, pytest.mark.mosquitto]

SOON = 5_000
"""Milliseconds within which a reading or an answer is on an open page, with room to spare."""


@pytest.fixture(scope="module")
def _dispatcher(shared: Platform) -> None:
    shared.dispatcher().wait_until_connected()


@pytest.fixture
def platform(shared: Platform, _dispatcher: None) -> Platform:
    return shared


@pytest.fixture(scope="module")
def web(shared: Platform) -> Iterator[str]:
    url = shared.server.postgres.url_of(shared.database)
    with serving(shared.directory, DATABASE_URL=url, DEBUG="1") as address:
        yield address


@pytest.fixture
def day(platform: Platform, new_fleet: Any) -> SimpleNamespace:
    """A tenant with a device that answers commands, an operator, and a viewer."""
    fleet: Fleet = new_fleet(1, tells=True)
    fields = {"temperature": {"label": "Temperature", "unit": "°C"}}
    kind = DeviceType.objects.create(tenant=fleet.tenant, name="Sensor", fields=fields)
    fleet.devices.update(type=kind)
    fleet.connect()
    slug, password = fleet.tenant.slug, people.PASSWORD
    operator, viewer = (
        people.user(f"{role}@{slug}.example", fleet.tenant, role, password=password)
        for role in (Role.OPERATOR, Role.VIEWER)
    )
    return SimpleNamespace(fleet=fleet, uid=fleet.uids[0], operator=operator, viewer=viewer)


@pytest.fixture(params=["en light", "vi dark"])
def page(request: pytest.FixtureRequest, browser: Browser, web: str) -> Iterator[Page]:
    language, theme = request.param.split()
    with watched(browser, web, locale=language, color_scheme=theme) as page:
        yield page


def test_an_operators_day(page, day):
    log_in(page, day.operator)
    find(page, day)
    watch_a_value_arrive(page, day)
    send_a_command(page)
    replay_a_rejected_message(page, day)


def log_in(page: Page, person: User) -> None:
    page.goto("/admin/")
    page.locator("[name=username]").fill(person.email)
    page.locator("[name=password]").fill(people.PASSWORD)
    page.locator("[type=submit]").click()
    page.wait_for_url("**/admin/")


def find(page: Page, day: SimpleNamespace) -> None:
    """From the number on the home page to the list that it counts, and on to the device."""
    online = DeviceState.objects.filter(device__tenant=day.fleet.tenant, session="online")
    wait_until(online.exists, "the device's word that it is online")
    page.reload()
    page.locator("#content a[href*='session=online']").first.click()
    page.locator("#result_list").get_by_role("link", name=day.uid).click()
    expect(page.locator("[data-session=online]")).to_be_visible()
    expect(page.locator("[data-streams]")).to_have_attribute("data-state", "live")


def watch_a_value_arrive(page: Page, day: SimpleNamespace) -> None:
    for temperature in ("21.5", "22.25"):
        day.fleet.say(day.uid, "telemetry", {"temperature": float(temperature)})
        value = page.locator("[data-key=temperature] [data-value]")
        expect(value).to_have_text(temperature, timeout=SOON)
        # A comma in Vietnamese.
        drawn = re.compile(temperature.replace(".", "[.,]"))
        expect(page.locator("[data-legend] [data-value]")).to_have_text(drawn, timeout=SOON)


def send_a_command(page: Page) -> None:
    """The device answers with the number that it was sent."""
    page.locator("#commands summary").first.click()
    page.locator("#commands [name=cmd]").fill("count")
    page.locator("#commands [name=params]").fill('{"n": 4711}')
    page.locator("#commands [type=submit]").click()
    newest = page.locator("#commands tbody tr").first
    expect(newest.locator("td:nth-child(2)")).to_contain_text("4711", timeout=SOON)


def replay_a_rejected_message(page: Page, day: SimpleNamespace) -> None:
    """One that came while the device was switched off; then its value is on the device's page."""
    day.fleet.devices.update(is_enabled=False)
    day.fleet.say(day.uid, "telemetry", {"temperature": 33.75})
    wait_until(RejectedMessage.objects.filter(device_uid=day.uid).exists, "its rejection")
    day.fleet.devices.update(is_enabled=True)
    page.goto("/admin/telemetry/rejectedmessage/?device_uid=" + day.uid)
    page.locator("#result_list a").first.click()
    expect(page.locator("pre").first).to_contain_text("33.75")
    page.locator("button[name=replay]").click()
    expect(page.locator("button[name=replay]")).to_have_count(0)
    stored = Telemetry.objects.filter(device__in=day.fleet.devices, payload__temperature=33.75)
    assert stored.count() == 1


def test_a_viewer_watches_and_may_do_no_more(page, day):
    log_in(page, day.viewer)
    find(page, day)
    day.fleet.say(day.uid, "telemetry", {"temperature": 19.5})
    value = page.locator("[data-key=temperature] [data-value]")
    expect(value).to_have_text("19.5", timeout=SOON)
    expect(page.locator("#commands")).to_be_visible()
    expect(page.locator("#commands form, #rejected, #credentials, [name=_save]")).to_have_count(0)
    for path in ("/admin/telemetry/rejectedmessage/", "/admin/devices/device/add/"):
        # Not by the page, whose console would call the refusal an error.
        assert page.request.get(path).status == 403
