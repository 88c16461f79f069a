"""Pages of errors: they say what is wrong and lead on, whatever is broken."""

import pytest
from django.db import connection
from django.template.loader import get_template
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from tests import cast as people

BROWSER = {"Accept": "text/html"}
PAGES = ("400", "403", "403_csrf", "404", "500")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_error_needs_nothing_that_may_be_broken(db, name):
    with CaptureQueriesContext(connection) as captured:
        page = get_template(f"{name}.html").render()
    assert not captured.captured_queries
    assert "/static/" not in page
    assert "| IoT platform</title>" in page
    assert '<a href="/admin/">' in page


def test_it_says_in_which_language_it_is():
    with translation.override("vi"):
        assert '<html lang="vi">' in get_template("500.html").render()


def test_each_error_of_the_console_has_its_page(cast):
    viewer, staff = people.console(cast.viewer), people.console(cast.staff)
    for answer, status, words in (
        (
            staff.post("/admin/accounts/tenant/switch/", {"tenant": "x"}),
            400,
            "cannot be understood",
        ),
        (viewer.get("/admin/accounts/user/"), 403, "Your role does not allow this"),
        (viewer.get("/admin/no/such/page/", headers=BROWSER), 404, "There is no such page"),
    ):
        assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_a_form_that_was_open_for_too_long_says_so(cast):
    client = people.console(cast.viewer, enforce_csrf_checks=True)
    answer = client.post("/admin/accounts/user/language/", {"language": "vi"})
    assert (answer.status_code, "The page was too old" in answer.text) == (403, True)


def test_a_fault_of_ours_has_a_page_even_without_a_database(monkeypatch, cast):
    client = people.console(cast.viewer, raise_request_exception=False)
    with monkeypatch.context() as broken:
        broken.setattr(connection, "cursor", None)
        answer = client.get("/admin/")
    assert (answer.status_code, "Something went wrong" in answer.text) == (500, True)


def test_browsers_find_an_icon_where_a_page_names_none():
    assert Client().get("/favicon.ico").url == "/static/accounts/favicon.svg"


def test_who_logs_in_without_having_been_elsewhere_comes_home(cast):
    cast.viewer.set_password(people.PASSWORD)
    cast.viewer.save()
    given = {"username": cast.viewer.email, "password": people.PASSWORD}
    assert Client().post("/admin/login/", given).url == "/admin/"
