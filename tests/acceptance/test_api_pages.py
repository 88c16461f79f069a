"""The API in a real browser: Swagger UI and a form, with no error and nothing loaded from afar."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from rest_framework_simplejwt.tokens import AccessToken

from tests import cast as people

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


def opened(page: Page, operation: str) -> Any:
    """An operation of Swagger UI, unfolded."""
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    return block


def execute(block: Any) -> Any:
    """What the server answered to “Try it out”."""
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response").first


def test_swagger_ui_asks_with_the_token_that_it_was_given(page, cast):
    page.goto("/docs")
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    scheme = dialog.locator(".auth-container", has_text="token (http")
    scheme.get_by_role("textbox").fill(str(AccessToken.for_user(cast.viewer)))
    scheme.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").first.click()
    answer = execute(opened(page, "devices-devices_list"))
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"device_uid": "dev-01"')


def test_swagger_ui_lists_every_operation(page, cast):
    page.goto("/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    assert page.locator(".opblock").count() > 30


def test_an_operator_creates_a_device_on_the_page_of_devices(page, cast):
    cast.operator.set_password(people.PASSWORD)
    cast.operator.save()
    page.goto("/admin/login/?next=/devices")
    page.get_by_label("E-mail address").fill(cast.operator.email)
    page.get_by_label("Password").fill(people.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Content:").fill('{"device_uid": "x.y", "name": "Roof"}')
    page.get_by_role("button", name="POST").click()
    expect(page.get_by_text("HTTP 201 Created")).to_be_visible()
    page.goto("/devices/x.y")
    expect(page.locator(".response-info")).to_contain_text('"name": "Roof"')
