"""The pages of the API for people: all of them, for everybody, from this server alone."""

import html
import json
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from accounts.models import User
from devices.models import DeviceType
from tests import cast as people
from tests.iotplatform.routes import id_in, rights

PAGE = {"Accept": "text/html"}
UID = "a.b-c:d_1.json"
OTHERS = re.compile(
    "/|/favicon.ico|/healthz|/schema|/docs|/export/.*|.*/export|/credentials|/live/.*|/internal/.*"
)
"""Pages of their own, files to be saved and streams, which no browser shows, and where brokers
ask."""
PAGES = [route for route in rights() if not OTHERS.fullmatch(route)]
"""Of some there is nothing but the form for a POST."""
ADDRESS = re.compile(r"""(?:src|href|action|srcset)\s*=\s*["']?([^"'\s>]*)""")


@pytest.fixture
def world(cast: SimpleNamespace) -> SimpleNamespace:
    """Something of t0 at every address, with a uid that looks like the name of a file."""
    cast.device = people.device(UID, cast.t0, latest={"temp": [21.5, 0.0]})
    people.reading(cast.device, temp=21.5)
    cast.kind = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    cast.message = people.rejected(cast.t0, b'{"temp": 1}', device_uid=UID)
    cast.command = people.command(cast.device)
    cast.batch = people.batch(cast.t0)
    cast.key = people.enrolment_key(cast.t0, cast.admin).key
    people.token(cast.device)
    cast.credential = cast.device.credentials.get()
    return cast


def address(world: SimpleNamespace, route: str) -> str:
    number = world.viewer.pk if route.startswith("/users") else world.message.pk
    parts = [("pk", number), ("id", id_in(world, route)), ("slug", "t0"), ("device_uid", UID)]
    for name, value in parts:
        route = route.replace(f"<{name}>", str(value))
    return f"{route}?keys=temp" if route.endswith("/series") else route


def pages(world: SimpleNamespace, browser: Any) -> dict[str, Any]:
    """Route → answer."""
    return {route: browser.get(address(world, route), headers=PAGE) for route in PAGES}


@pytest.mark.parametrize("actor", people.ACTORS)
def test_every_address_has_a_page_for_everybody(world, actor):
    for route, answer in pages(world, people.console(getattr(world, actor))).items():
        assert answer.status_code in (200, 403, 404, 405), route
        assert answer["Content-Type"] == "text/html; charset=utf-8", route
        assert f"HTTP {answer.status_code} {answer.reason_phrase}" in answer.text, route


def test_who_is_not_logged_in_is_shown_where_to_log_in(world):
    found = pages(world, Client())
    assert {answer.status_code for answer in found.values()} == {401, 405}
    page = found["/devices/<device_uid>"]
    assert f'href="/admin/login/?next=/devices/{quote(UID)}"' in page.text


def test_who_logs_in_comes_back_to_the_page(world):
    world.viewer.set_password(people.PASSWORD)
    world.viewer.save()
    form = {"username": world.viewer.email, "password": people.PASSWORD}
    answer = Client().post(f"/admin/login/?next=/devices/{UID}", form)
    assert answer["Location"] == f"/devices/{UID}"


def test_no_page_leads_or_looks_to_another_server(world):
    for browser in (Client(), people.console(world.staff)):
        for route, answer in pages(world, browser).items():
            addresses = ADDRESS.findall(answer.text)
            far = [url for url in addresses if re.match(r"(\w+:)?//(?!testserver/)", url)]
            assert addresses
            assert not far, route


def test_what_a_page_loads_is_there(world):
    browser = people.console(world.staff)
    found = {url for page in pages(world, browser).values() for url in ADDRESS.findall(page.text)}
    files = {url for url in found if url.startswith("/static/")}
    assert len(files) > 5
    assert {browser.get(url).status_code for url in files} == {200}


def form_of(page: Any) -> Any:
    """What a page offers to send."""
    text = page.text.partition('name="_content"')[2].partition("</textarea>")[0]
    return json.loads(html.unescape(text.partition(">")[2]))


@pytest.mark.parametrize(
    ("route", "changes"),
    [
        ("/devices", {"device_uid": "x.y"}),
        ("/device-types", {"name": "x.y"}),
        ("/users", {"email": "x.y@t0.example", "password": "battery staple"}),
        ("/tenants", {"slug": "x.y", "name": "X"}),
        ("/auth/logout", {"refresh_token": "none"}),
        ("/rejected/<pk>/resolve", {}),
        ("/enrolment-keys", {"name": "x.y", "quota": 1, "expires_at": "9999-01-01"}),
        ("/devices/<device_uid>/command", {"cmd": "reboot"}),
        ("/commands", {"cmd": "reboot", "device_uids": [UID]}),
        ("/commands/<id>/cancel", {}),
        ("/command-batches/<id>/cancel", {}),
    ],
)
def test_a_form_is_taken_with_its_token_and_refused_without(world, route, changes):
    browser = people.console(world.staff, enforce_csrf_checks=True)
    url = address(world, route)
    page = browser.get(url, headers=PAGE)
    tenant = {"tenant": "t0"} if "tenant" in form_of(page) else {}
    sent = json.dumps(form_of(page) | tenant | changes)
    token = re.search('"csrfToken": "(.+)"', page.text)[1]

    def post(**headers: str) -> int:
        answer = browser.post(url, sent, "application/json", headers=PAGE | headers)
        return int(answer.status_code)

    # Logging out asks for a token of its own.
    assert post() == (403 if route != "/auth/logout" else 200)
    assert post(**{"X-CSRFToken": token}) in (200, 201, 202)


def test_a_session_ends_with_the_right_to_log_in(world):
    browser = people.console(world.viewer)
    assert browser.get("/devices", headers=PAGE).status_code == 200
    User.objects.filter(pk=world.viewer.pk).update(is_active=False)
    assert browser.get("/devices", headers=PAGE).status_code == 401
