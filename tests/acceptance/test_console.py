"""The console in a real browser: an operator's way, with no error and nothing loaded from afar."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tests import cast as people

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_streams_left"),
]

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def fleet(cast: SimpleNamespace) -> SimpleNamespace:
    """A device that was heard, its readings, and a message that waits to be replayed."""
    cast.operator.set_password(people.PASSWORD)
    cast.operator.save()
    now = timezone.now()
    latest = {"temperature": [21.5, now.timestamp() * 1000]}
    people.device("dev-07", cast.t0, session="online", last_seen_at=now, latest=latest)
    heard = people.device("dev-08", cast.t0, session="offline", last_seen_at=now, latest=latest)
    for number in range(3):
        people.reading(heard, now - timedelta(seconds=number), temperature=30 + number)
    cast.rejected = people.rejected(
        cast.t0,
        b'{"temperature": 44.25}',
        device_uid="dev-08",
        topic=b"t0/devices/dev-08/telemetry",
    )
    return cast


def log_in(page: Page, fleet: SimpleNamespace) -> None:
    page.goto("/admin/")
    page.get_by_label("E-mail address").fill(fleet.operator.email)
    page.get_by_label("Password").fill(people.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def menu(page: Page, item: str) -> None:
    page.locator("#nav-sidebar-apps").get_by_text(item, exact=True).click()


def test_an_operator_finds_a_device_and_its_readings(page, fleet):
    log_in(page, fleet)
    menu(page, "Devices")
    row = page.get_by_role("row", name="dev-08")
    expect(row).to_contain_text("temperature 21.5")
    row.get_by_role("link", name="dev-08").click()
    expect(page.get_by_role("row", name="temperature")).to_contain_text("21.5")
    page.get_by_role("link", name="All readings").click()
    expect(page.locator("#result_list tr.data-row")).to_have_count(3)
    page.get_by_text('{"temperature": 31}').click()
    expect(page.locator("pre", has_text="31")).to_be_visible()


def test_an_operator_replays_a_rejected_message(page, fleet):
    log_in(page, fleet)
    menu(page, "Rejected messages")
    page.get_by_role("link", name="One by one").click()
    page.locator("#result_list").get_by_role("link").click()
    expect(page.get_by_label("Text", exact=True)).to_have_text('{"temperature": 44.25}')
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("Replayed: 1 stored.")).to_be_visible()
    page.goto(f"/admin/devices/device/?q={fleet.rejected.device_uid}")
    expect(page.get_by_role("row", name="dev-08")).to_contain_text("temperature 44.25")


def test_an_operator_replays_a_choice_of_messages(page, fleet):
    log_in(page, fleet)
    page.goto("/admin/telemetry/rejectedmessage/?state=open")
    page.locator("input.action-select").check()
    page.get_by_label("Select action to run").select_option(label="Replay")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Replayed: 1 stored.")).to_be_visible()
    expect(page.locator("#result_list")).to_have_count(0)


def test_an_operator_narrows_the_readings_by_time(page, fleet):
    log_in(page, fleet)
    page.goto("/admin/devices/device/?q=dev-08")
    page.get_by_role("row", name="dev-08").get_by_role("link").click()
    page.get_by_role("link", name="All readings").click()
    page.locator("#changelist").get_by_text("Filters").first.click()
    page.get_by_placeholder("Date to").fill("2026-01-01")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.locator("#result_list")).to_have_count(0)
    expect(page.get_by_text("Readings of dev-08")).to_be_visible()


def test_an_operator_looks_at_a_file_and_imports_it(page, fleet):
    log_in(page, fleet)
    menu(page, "Devices")
    page.get_by_role("link", name="Import").click()
    for file in (b"device_uid,name\nnew-1,Roof\na/b,x\n", b"device_uid,name\nnew-1,Roof\n"):
        chosen = {"name": "devices.csv", "mimeType": "text/csv", "buffer": file}
        page.locator("input[type=file]").set_input_files(chosen)
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_text("a/b")).to_have_count(file.count(b"a/b"))
        expect(page.get_by_role("row", name="new-1")).to_contain_text("Created")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("Imported: 1 created.")).to_be_visible()
    expect(page.get_by_role("row", name="new-1")).to_contain_text("Roof")


def test_an_operator_exports_the_list_as_it_is_filtered(page, fleet):
    log_in(page, fleet)
    page.goto("/admin/devices/device/?q=dev-08")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert download.value.suggested_filename == "devices.csv"
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["device_uid", "dev-08"]


def test_an_operator_sends_a_command_once_and_takes_it_back(page, fleet):
    log_in(page, fleet)
    page.goto("/admin/devices/device/?q=dev-08")
    page.get_by_role("row", name="dev-08").get_by_role("link").click()
    page.get_by_text("Send a command").click()
    page.locator("[name=cmd]").fill("reboot")
    page.get_by_label("Params").fill('{"delay": 5}')
    page.locator("[data-sending] [type=submit]").dblclick()
    page.locator("#commands").get_by_role("link", name="reboot").click()
    expect(page.get_by_text("It waits to be published.")).to_be_visible()
    page.get_by_role("button", name="Cancel the command").click()
    expect(page.get_by_text("Cancelled. The device will not get it.")).to_be_visible()
    menu(page, "Commands")
    expect(page.locator("#result_list tr.data-row")).to_have_count(1)
    expect(page.get_by_role("row", name="dev-08")).to_contain_text("Cancelled")


def test_an_operator_sees_without_a_reload_what_becomes_of_a_command(page, fleet):
    command = people.command(fleet.device)
    log_in(page, fleet)
    page.goto(f"/admin/devices/command/{command.pk}/change/")
    expect(page.get_by_text("It waits to be published.")).to_be_visible()
    command.transitions.create(status="succeeded")
    command.reply, command.status, command.finished_at = "ok", "succeeded", timezone.now()
    command.save()
    expect(page.get_by_text("The device has done it.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the command")).to_have_count(0)
    expect(page.locator("[data-live]")).to_have_count(0)


def test_a_page_that_is_shown_anew_asks_to_log_in_after_the_session(page, fleet):
    command = people.command(fleet.device)
    log_in(page, fleet)
    page.goto(f"/admin/devices/command/{command.pk}/change/")
    page.context.clear_cookies()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_an_operator_cancels_a_choice_of_commands(page, fleet):
    for device in (fleet.device, people.device("dev-09", fleet.t0)):
        people.command(device)
    log_in(page, fleet)
    page.goto("/admin/devices/command/")
    for box in page.locator("input.action-select").all():
        box.check()
    page.get_by_label("Select action to run").select_option(label="Cancel")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("2 cancelled.")).to_be_visible()


def test_the_first_message_can_be_copied(page, fleet):
    fleet.t0.devices.all().delete()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_in(page, fleet)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("mosquitto_pub -h ")


def test_a_row_on_a_phone_has_no_lines_for_what_is_empty(page, fleet):
    people.command(fleet.device)
    page.set_viewport_size(PHONE)
    log_in(page, fleet)
    page.goto("/admin/devices/command/")
    for name, is_shown in (("params_in_brief", True), ("why", False), ("finished_ago", False)):
        expect(page.locator(f"td.field-{name}")).to_be_visible(visible=is_shown)


def test_no_page_is_wider_than_a_phone(page, fleet):
    fleet.command = people.batch(fleet.t0, fleet.operator).commands.first()
    page.set_viewport_size(PHONE)
    log_in(page, fleet)
    addresses = [
        "/admin/",
        "/admin/devices/device/",
        "/admin/devices/device/import/",
        f"/admin/devices/device/{fleet.device.pk}/change/",
        f"/admin/devices/device/{fleet.device.pk}/command/",
        "/admin/devices/command/",
        f"/admin/devices/command/{fleet.command.pk}/change/",
        "/admin/devices/commandbatch/",
        f"/admin/devices/commandbatch/{fleet.command.batch_id}/change/",
        f"/admin/telemetry/telemetry/?device={fleet.device.pk}",
        "/admin/telemetry/rejectedmessage/",
        f"/admin/telemetry/rejectedmessage/{fleet.rejected.pk}/change/",
    ]
    for address in addresses:
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], address
