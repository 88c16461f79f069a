"""The console's pages before an independent judge of accessibility, in both themes."""

from types import SimpleNamespace

import pytest
from playwright.sync_api import Page

from devices.models import Device
from tests import cast as people
from tests.acceptance.browsers import watched
from tests.axe import ALL_RULES, serious

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_streams_left"),
]

ADDRESSES = [
    "/admin/",
    "/admin/devices/device/",
    "/admin/devices/device/add/",
    "/admin/devices/device/{device}/change/",
    "/admin/devices/devicetype/add/",
    "/admin/devices/command/",
    "/admin/devices/command/{command}/change/",
    "/admin/devices/alert/",
    "/admin/devices/alertrule/add/",
    "/admin/telemetry/telemetry/?device={device}",
    "/admin/telemetry/rejectedmessage/",
    "/admin/telemetry/rejectedmessage/?state=all",
    "/admin/telemetry/rejectedmessage/{rejected}/change/",
    "/admin/accounts/user/add/",
    "/admin/accounts/change/",
]


@pytest.fixture
def addresses(cast: SimpleNamespace) -> list[str]:
    """Of pages that show something of everything."""
    people.readings(cast.device, 3)
    state = {"session": "offline", "latest": {"temp": [21.5, 1_768_392_000_000]}}
    people.device("dev-02", cast.t0, **state)
    Device.objects.filter(pk=cast.device.pk).update(labels={"site": "Hanoi"})
    things = {
        "device": cast.device.pk,
        "command": people.command(cast.device, cast.admin).pk,
        "rejected": people.rejected(cast.t0, b'{"temp": NaN}').pk,
    }
    return [address.format(**things) for address in ADDRESSES]


# All else is the same in both themes.
@pytest.mark.parametrize(("theme", "rules"), [("light", ALL_RULES), ("dark", ["color-contrast"])])
def test_no_page_keeps_anybody_out(theme, rules, browser, live_server, cast, addresses):
    session = people.console(cast.admin).cookies["sessionid"].value
    with watched(browser, live_server.url, color_scheme=theme) as page:
        assert findings(page, ["/admin/login/"], rules) == {}
        cookie = {"name": "sessionid", "value": session, "url": live_server.url}
        page.context.add_cookies([cookie])
        assert findings(page, addresses, rules) == {}


def findings(page: Page, addresses: list[str], rules: list[str]) -> dict[str, list[str]]:
    """Address → what is wrong there."""
    found = {}
    for address in addresses:
        page.goto(address)
        if wrong := serious(page, rules):
            found[address] = wrong
    return found
