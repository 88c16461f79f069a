"""The page of a device in a real browser: what happens is on it without a reload."""

import json
import re
from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from rest_framework.test import APIClient

from devices.models import Device, DeviceState, DeviceType
from tests import cast as people

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_streams_left"),
]

# What is drawn cannot be read off a canvas, so the chart is kept where a test finds it.
WATCH = """
let real;
Object.defineProperty(window, "uPlot", {get: () => real, set: (made) => {
    real = new Proxy(made, {construct: (made, given) => (window.drawn = new made(...given))});
}});
"""
VALUES = (
    "drawn.data[1].map((value, index) => [drawn.data[0][index], value === undefined ? '' : value])"
)
SOON = 2_000


@pytest.fixture
def device(cast: SimpleNamespace) -> Device:
    """One of a type that says what its keys mean; of its 50 minutes, there is nothing in ten."""
    now = timezone.now()
    fields = {"temp": {"label": "Temperature", "unit": "°C", "max": 50}}
    kind = DeviceType.objects.create(name="sensor", offline_after=3600, fields=fields)
    Device.objects.filter(pk=cast.device.pk).update(type=kind)
    DeviceState.objects.create(
        device=cast.device,
        last_seen_at=now - timedelta(minutes=1),
        session="online",
        since=now - timedelta(hours=1),
        latest={"temp": [21, (now.timestamp() - 60) * 1000]},
    )
    for minutes in (*range(1, 20), *range(30, 50)):
        people.reading(cast.device, now - timedelta(minutes=minutes), temp=20 + minutes % 7)
    return cast.device


@pytest.fixture
def shown(page: Page, live_server: Any, cast: SimpleNamespace, device: Device) -> Page:
    """The page of the device, as an operator sees it, with its streams open and its chart drawn."""
    session = people.console(cast.operator).cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page.add_init_script(WATCH)
    page.goto(f"/admin/devices/device/{device.pk}/change/?range=3600")
    expect(page.locator("[data-streams]")).to_have_attribute("data-state", "live")
    expect(page.locator("[data-plot]")).to_have_attribute("data-points", re.compile("[1-9]"))
    expect(page.locator("[data-readings] summary")).to_have_count(20)
    return page


def sent(device: Device, token: str, **reading: Any) -> None:
    """A reading comes through the door for devices."""
    door = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    answer = door.post(f"/telemetry/{device.device_uid}", reading, format="json")
    assert answer.status_code == 201, answer.text


def test_what_a_device_sends_is_in_the_chart_and_the_tables_at_once(shown, device):
    token = people.token(device)
    sent(device, token, temp=77.5, msg_id="one")
    shown.wait_for_function(f"{VALUES}.some(([, value]) => value === 77.5)", timeout=SOON)
    row = shown.locator("[data-latest] tr", has_text="Temperature")
    expect(row).to_contain_text("77.5", timeout=SOON)
    expect(row.get_by_text("out of range")).to_be_visible()
    expect(shown.locator("[data-readings] summary").first).to_contain_text("77.5", timeout=SOON)
    expect(shown.locator("[data-legend]")).to_contain_text("77.5 °C")
    sent(device, token, door=True, temp=20, msg_id="two")
    expect(shown.locator("[data-latest] tr", has_text="door")).to_contain_text("true", timeout=SOON)


def test_what_comes_late_is_drawn_where_it_was_measured_and_is_not_the_latest(shown, device):
    at = timezone.now() - timedelta(minutes=25)
    sent(device, people.token(device), temp=99, ts=at.timestamp(), msg_id="late")
    shown.wait_for_function(f"{VALUES}.some(([, value]) => value === 99)", timeout=SOON)
    (drawn,) = [moment for moment, value in shown.evaluate(VALUES) if value == 99]
    assert 0 <= at.timestamp() - drawn < 10
    expect(shown.locator("[data-latest] tr", has_text="Temperature")).to_contain_text("21")


def test_a_pause_is_a_gap_and_what_lies_between_two_readings_is_none(shown):
    values = shown.evaluate(VALUES)
    moments = [moment for moment, value in values if isinstance(value, int)]
    assert len(moments) == 39
    gaps = {moment for moment, value in values if value is None and moment < moments[-1]}
    pause = max(pairwise(moments), key=lambda pair: pair[1] - pair[0])
    assert pause[1] - pause[0] > 600
    between = {moment for moment, _ in values if pause[0] < moment < pause[1]}
    assert gaps == between | {moment for moment in gaps if moment < moments[0]}


def test_a_part_that_is_dragged_over_is_fetched_in_finer_steps_and_the_address_keeps_it(shown):
    before = int(shown.locator("[data-plot]").get_attribute("data-interval"))
    box = shown.locator(".u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    shown.mouse.move(box["x"] + box["width"] * 0.2, middle)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 0.3, middle, steps=3)
    dragged = "least => document.querySelector('.u-select').offsetWidth > least"
    shown.wait_for_function(dragged, arg=box["width"] * 0.09)
    with shown.expect_response("**/series?*") as answer:
        shown.mouse.up()
    made = answer.value.json()
    asked = datetime.fromisoformat(made["to"]) - datetime.fromisoformat(made["from"])
    assert timedelta(minutes=5) < asked < timedelta(minutes=7)
    assert made["interval"] < before
    assert "from=" in shown.url
    with shown.expect_response("**/series?*") as answer:
        shown.get_by_role("button", name="Back", exact=True).click()
    assert answer.value.json()["interval"] == before
    assert "from=" not in shown.url
    shown.get_by_role("button", name="24 h").click()
    assert "range=86400" in shown.url
    shown.reload()
    expect(shown.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "true")


def test_the_chart_follows_the_theme_and_the_arrow_keys(shown):
    shown.evaluate("document.documentElement.classList.remove('dark')")
    light = shown.evaluate("drawn.series[1].stroke()")
    shown.evaluate("document.documentElement.classList.add('dark')")
    shown.wait_for_function(f"drawn.series[1].stroke() !== '{light}'")
    shown.locator("[data-plot]").focus()
    shown.keyboard.press("ArrowLeft")
    expect(shown.locator("[data-legend] [data-at]")).not_to_be_empty()
    expect(shown.locator("[data-legend] [data-value]")).to_contain_text("°C")


def test_a_command_is_sent_from_the_page_which_shows_how_far_it_is_and_the_answer(shown, device):
    shown.get_by_text("Send a command").click()
    shown.locator("[name=cmd]").fill("reboot")
    shown.get_by_label("Params").fill("{")
    shown.locator("[data-sending] [type=submit]").click()
    expect(shown.get_by_text("This is no JSON")).to_be_visible()
    shown.get_by_label("Params").fill('{"delay": 5}')
    shown.locator("[data-sending] [type=submit]").click()
    row = shown.locator("#commands tbody tr")
    expect(row).to_contain_text("Queued")
    expect(shown.locator("[name=cmd]")).to_have_value("")
    command = device.commands.get()
    command.status, command.sent_at = "sent", timezone.now()
    command.save()
    command.transitions.create(status="sent")
    expect(row).to_contain_text("Sent", timeout=SOON)
    command.status, command.finished_at, command.reply = "succeeded", timezone.now(), "ok"
    command.result = {"uptime": 0}
    command.save()
    command.transitions.create(status="succeeded")
    expect(row).to_contain_text("Succeeded", timeout=SOON)
    expect(row).to_contain_text(json.dumps(command.result))


def test_a_device_that_was_never_heard_says_how_it_would_be(page, live_server, cast):
    session = people.console(cast.viewer).cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page.goto(f"/admin/devices/device/{cast.device.pk}/change/")
    expect(page.locator("#first-message")).to_contain_text("t0/devices/dev-01/telemetry")
    expect(page.get_by_text("The device has sent no numbers yet")).to_be_visible()
    expect(page.get_by_text("Send a command")).to_have_count(0)
    sent(cast.device, people.token(cast.device), temp=21.5)
    expect(page.locator("[data-legend]")).to_contain_text("temp 21.5", timeout=2 * SOON)
