"""The console's pages to import and export devices."""

import html
import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DataError, transaction
from django.db.models.expressions import RawSQL

from devices.bulk import console
from devices.console.devices import DeviceAdmin
from devices.models import TAKEN, Device
from tests import cast as people

LIST = "/admin/devices/device/"
IMPORT = f"{LIST}import/"
GOOD = "device_uid,name\nnew-1,Roof\ndev-01,Cellar\n"


def upload(user, text, **buttons):
    """The answer to a file that was chosen; `buttons`: what was pressed."""
    file = SimpleUploadedFile("devices.csv", text if isinstance(text, bytes) else text.encode())
    return people.console(user).post(IMPORT, {"file": file, **buttons})


def downloaded(user, kind: str) -> str:
    answer = people.console(user).get(f"{LIST}export.{kind}")
    return b"".join(answer.streaming_content).decode()


def test_a_file_is_looked_at_first(cast):
    page = upload(cast.operator, GOOD)
    assert "What the file does: 1 created, 1 updated" in page.text
    assert 'name="import"' in page.text
    assert list(Device.objects.values_list("name", flat=True)) == [
        "Device dev-01",
        "Device foreign-01",
    ]


def test_and_imported_then(cast):
    answer = upload(cast.operator, GOOD, **{"import": "1"})
    assert answer["Location"] == LIST
    assert Device.objects.get(device_uid="new-1").tenant == cast.t0
    assert Device.objects.get(device_uid="dev-01").name == "Cellar"


def test_the_list_says_what_was_done(cast):
    client = people.console(cast.operator)
    file = SimpleUploadedFile("devices.csv", GOOD.encode())
    page = client.post(IMPORT, {"file": file, "import": "1"}, follow=True)
    assert "Imported: 1 created, 1 updated." in page.text


@pytest.mark.parametrize("start", ["", " \n", "\ufeff", "\ufeff\n"])
def test_json_is_known_by_its_beginning(cast, start):
    upload(cast.operator, start + json.dumps([{"device_uid": "new-1"}]), **{"import": "1"})
    assert Device.objects.filter(device_uid="new-1").exists()


@pytest.mark.parametrize("buttons", [{}, {"import": "1"}])
def test_rows_with_errors_are_shown_and_nothing_is_imported(cast, buttons):
    page = upload(cast.operator, f"{GOOD}a/b,x\nforeign-01,x\n", **buttons)
    assert "1 created, 1 updated, 2 with an error" in page.text
    assert "device_uid: Use 1 to 128 letters" in page.text
    assert str(TAKEN) in page.text
    assert 'name="import"' not in page.text
    assert not Device.objects.filter(device_uid="new-1").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nmae\n", "There is no column “nmae” to set."),
        (b"device_uid\n\xff", "Byte 11 is not UTF-8."),
        ("{}", "Send an array of devices."),
        ("[1,", "The body is no JSON object or array"),
        ("", "The submitted file is empty."),
    ],
)
@pytest.mark.parametrize("buttons", [{}, {"import": "1"}])
def test_a_file_that_cannot_be_read_is_explained(cast, file, said, buttons):
    answer = upload(cast.operator, file, **buttons)
    assert answer.status_code == 200
    assert said in answer.text


def test_no_file_at_all_is_explained(cast):
    assert "This field is required." in people.console(cast.operator).post(IMPORT).text


def test_a_file_that_is_too_large_is_explained(cast, monkeypatch):
    monkeypatch.setattr("devices.bulk.views.LARGEST_FILE", 20)
    assert "The body has more than 20 bytes." in upload(cast.operator, GOOD).text


def test_a_file_that_changes_nothing_has_no_button(cast):
    page = upload(cast.operator, "device_uid,name\ndev-01,Device dev-01\n").text
    assert "There is nothing to import." in page
    assert 'name="import"' not in page


def test_what_a_file_says_is_never_markup(cast):
    page = upload(cast.operator, "device_uid\n<script>1</script>\n").text
    assert "<script>1" not in page
    assert "&lt;script&gt;1" in page


def test_of_many_rows_the_errors_are_shown(cast, monkeypatch):
    monkeypatch.setattr(console, "ROWS_SHOWN", 2)
    page = upload(cast.operator, "device_uid\na\nb\nc/d\n").text
    assert "c/d" in page
    assert "and 1 more" in page


@pytest.mark.parametrize("buttons", [{}, {"import": "1"}])
def test_a_viewer_neither_imports_nor_tries(cast, buttons):
    assert upload(cast.viewer, GOOD, **buttons).status_code == 403
    assert not Device.objects.filter(device_uid="new-1").exists()


def test_a_page_of_another_site_imports_nothing(cast):
    client = people.console(cast.operator, enforce_csrf_checks=True)
    file = SimpleUploadedFile("devices.csv", GOOD.encode())
    assert client.post(IMPORT, {"file": file, "import": "1"}).status_code == 403


def test_the_list_has_the_buttons_that_the_person_may_use(cast):
    pages = [people.console(user).get(LIST).text for user in (cast.viewer, cast.operator)]
    assert [IMPORT in page for page in pages] == [False, True]
    assert all(f"{LIST}export.csv" in page for page in pages)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_export_keeps_the_filters_of_the_list(cast, kind):
    people.device("dev-02", cast.t0, session="online")
    client = people.console(cast.viewer)
    page = client.get(LIST, {"session": "online", "q": "dev"}).text
    (address,) = re.findall(rf'href="({LIST}export\.{kind}[^"]*)"', page)
    file = b"".join(client.get(html.unescape(address)).streaming_content)
    assert (b"dev-02" in file, b"dev-01" in file) == (True, False)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_can_be_imported_again(cast, kind):
    file = downloaded(cast.staff, kind)
    assert "What the file does: 2 unchanged" in upload(cast.staff, file).text


def test_a_spreadsheet_sees_that_the_table_is_utf_8(cast):
    assert downloaded(cast.viewer, "csv").startswith("\ufeffdevice_uid,")


@pytest.mark.parametrize(("actor", "found"), [("viewer", "dev-01"), ("stranger", "foreign-01")])
def test_an_export_holds_what_the_person_may_see(cast, actor, found):
    (device,) = json.loads(downloaded(getattr(cast, actor), "json"))
    assert device["device_uid"] == found


def test_a_filter_that_is_not_understood_leads_back_to_the_list(cast):
    answer = people.console(cast.staff).get(f"{LIST}export.csv", {"tenant__id__exact": "x"})
    assert (answer.status_code, answer["Location"]) == (302, LIST)


def test_a_fault_is_no_half_file(cast, monkeypatch):
    monkeypatch.setattr(DeviceAdmin, "ordering", [RawSQL("1 / 0", ())])
    with pytest.raises(DataError), transaction.atomic():
        people.console(cast.viewer).get(f"{LIST}export.csv")


def test_a_proxy_that_is_too_old_for_files_is_named(cast):
    client = people.console(cast.viewer, SERVER_PROTOCOL="HTTP/1.0")
    page = client.get(f"{LIST}export.csv", follow=True)
    assert (page.redirect_chain, "Use HTTP/1.1" in page.text) == ([(LIST, 302)], True)
