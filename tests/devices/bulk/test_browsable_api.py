"""The API's page for people to import devices on."""

import pytest

from devices.models import Device
from tests import cast as people

PAGE = {"Accept": "text/html"}


@pytest.mark.parametrize(
    ("name", "status"), [("viewer", 405), ("operator", 405), ("staff", 405), (None, 401)]
)
def test_the_page_answers_each_person(cast, name, status):
    client = people.console(getattr(cast, name), headers=PAGE) if name else people.api(None)
    answer = client.get("/import/devices", headers=PAGE)
    assert (answer.status_code, answer["Content-Type"][:9]) == (status, "text/html")


def test_an_operator_finds_a_form_for_both_kinds_of_file(cast):
    page = people.console(cast.operator, headers=PAGE).get("/import/devices").text
    assert '<option value="text/csv"' in page
    assert '<option value="application/json"' in page


@pytest.mark.parametrize(("uid", "status"), [("new-1", 200), ("a/b", 400)])
def test_what_a_person_sends_is_answered_with_a_page(cast, uid, status):
    client = people.console(cast.operator, headers=PAGE)
    answer = client.post("/import/devices", f"device_uid\n{uid}\n", content_type="text/csv")
    assert (answer.status_code, answer["Content-Type"][:9]) == (status, "text/html")
    assert uid in answer.text
    assert Device.objects.filter(device_uid="new-1").exists() == (status == 200)


@pytest.mark.parametrize("address", ["/import/devices", "/export/devices"])
def test_what_an_address_takes_can_be_asked(cast, address):
    assert people.api(cast.operator).options(address).status_code == 200
    assert people.console(cast.operator, headers=PAGE).options(address).status_code == 200


def test_a_browser_downloads_an_export(cast):
    answer = people.console(cast.viewer, headers=PAGE).get("/export/devices/?as=json")
    assert answer["Content-Disposition"] == 'attachment; filename="devices.json"'
