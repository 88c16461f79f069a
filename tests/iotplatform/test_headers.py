"""What browsers are told with every kind of page, and that looking at one changes nothing."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from tests import cast as people
from tests.accounts.test_pages import PAGES, address, thing
from tests.accounts.test_pages import cast as one_of_each

__all__ = ["one_of_each"]
PAGE_KINDS = {
    "login": "/admin/login/",
    "home": "/admin/",
    "list": "/admin/devices/device/",
    "form": "/admin/devices/device/add/",
    "not found": "/admin/no/such/page/",
    "documentation": "/docs",
    "browsable": "/devices",
    "answer": "/devices?limit=1",
    "problem": "/devices/no",
    "health": "/healthz",
}
COUNTS = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables
WHERE relname NOT IN ('django_session')
"""


@pytest.fixture
def answers(cast):
    """A page of each kind, as a browser that is logged in as staff gets it."""
    client = people.console(cast.staff)
    browser = {"Accept": "text/html"}
    return {
        kind: (Client() if kind == "login" else client).get(
            path, headers={} if kind in ("answer", "problem") else browser
        )
        for kind, path in PAGE_KINDS.items()
    }


def test_every_page_says_what_it_may_load_and_use(answers):
    for kind, answer in answers.items():
        policy = answer["Content-Security-Policy"]
        for directive in (
            "default-src 'none'", "script-src 'self' 'unsafe-eval'", "connect-src 'self'",
            "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'",
        ):  # fmt: skip
            assert directive in policy, kind
        assert "script-src 'self' 'unsafe-eval';" in f"{policy};", kind
        assert "camera=()" in answer["Permissions-Policy"], kind


def test_every_page_has_the_headers_that_close_old_doors(answers):
    for kind, answer in answers.items():
        assert answer["X-Content-Type-Options"] == "nosniff", kind
        assert answer["X-Frame-Options"] == "DENY", kind
        assert answer["Referrer-Policy"] == "same-origin", kind
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin", kind


def test_no_page_with_something_in_it_is_kept_by_a_cache(answers):
    for kind, answer in answers.items():
        assert "no-store" in answer["Cache-Control"], kind


def test_what_is_secret_in_a_cookie_no_script_sees_and_no_other_site_sends(cast):
    cast.viewer.set_password(people.PASSWORD)
    cast.viewer.save()
    client = Client()
    client.post("/admin/login/", {"username": cast.viewer.email, "password": people.PASSWORD})
    session = client.cookies["sessionid"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert client.cookies["csrftoken"]["samesite"] == "Lax"


def test_by_https_a_browser_comes_by_https_from_then_on(client, settings):
    settings.SECURE_HSTS_SECONDS = 60
    assert client.get("/healthz", secure=True)["Strict-Transport-Security"] == "max-age=60"
    assert "Strict-Transport-Security" not in client.get("/healthz")


def test_the_checks_of_a_deployment_find_nothing(settings):
    settings.DEBUG, settings.AUTH_DEMO = False, False
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 60
    settings.SECRET_KEY = "0123456789abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHI"
    call_command("check", deploy=True, tags=["security"], fail_level="WARNING")


def changes() -> int:
    """Rows that this test's transaction has written so far."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTS)
        return int(cursor.fetchone()[0])


def test_to_look_at_a_page_changes_nothing(one_of_each):
    client = people.console(one_of_each.staff)
    for name in PAGES:
        where = address(name, one_of_each)
        # A list would lead to itself without what it does not know.
        query = "" if "_changelist" in name else "?delete=1&cancel=1&replay=1&post=yes&action=x"
        before = changes()
        client.get(where + query)
        assert changes() == before > 0, name


def test_what_comes_without_the_token_of_our_forms_is_refused(one_of_each):
    client = people.console(one_of_each.staff, enforce_csrf_checks=True)
    sent = {"post": "yes", "_selected_action": [thing("devices_device", one_of_each)]}
    # Those that lead elsewhere whoever comes do so before anything is looked at.
    elsewhere = {"view_on_site", "<path:object_id>/", "(?P<url>.*)$"}
    before = changes()
    for name in PAGES:
        answer = client.post(address(name, one_of_each), sent)
        allowed = (403, 404, 405) if name not in elsewhere else (302, 403, 404, 405)
        assert answer.status_code in allowed, (name, answer.status_code)
    assert changes() == before
