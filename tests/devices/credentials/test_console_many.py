"""The console's way to give the devices chosen in the list new credentials, as one file."""

import csv
import io

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from devices.credentials import files
from devices.credentials.authenticating import authenticate
from devices.models import Credential, Device
from tests import cast as people

DEVICES = "/admin/devices/device/"


@pytest.fixture
def fleet(cast, settings):
    settings.MQTT_ACCESS = "emqx"
    people.device("dev-02", cast.t0)
    people.token(cast.device)
    return cast


def target() -> str:
    return reverse("admin:devices_device_credentials")


def choose(user, *devices, **more):
    chosen = {"action": "new_credentials", "_selected_action": [each.pk for each in devices]}
    return people.console(user).post(DEVICES, {**chosen, **more})


def save(user, *devices, **fields):
    keys = ",".join(str(each.pk) for each in devices)
    return people.console(user).post(target(), {"keys": keys, "overlap": 0, **fields})


def rows(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8", answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_the_action_asks_first_and_says_what_ends(fleet):
    page = choose(fleet.operator, *Device.objects.filter(tenant=fleet.t0))
    assert "New credentials for 2 devices" in page.text
    assert "dev-01, dev-02" in page.text
    assert "1 of them has one already." in page.text
    assert Credential.objects.count() == 1
    # tests/acceptance/test_scripts.py has what the script does.
    for part in ("devices/once.js", "data-once>", "data-once-said hidden>The file has been sent."):
        assert part in page.text


def test_what_the_page_sends_makes_the_file(fleet):
    page = choose(fleet.operator, *Device.objects.filter(tenant=fleet.t0))
    form = page.context["form"]
    sent = {name: form[name].value() or "" for name in form.fields}
    answer = people.console(fleet.operator).post(target(), sent)
    assert answer["Content-Disposition"] == 'attachment; filename="credentials.csv"'
    assert "no-store" in answer["Cache-Control"]
    found = {row["device_uid"]: row["token"] for row in rows(answer)}
    assert list(found) == ["dev-01", "dev-02"]
    assert all(authenticate(uid, token) for uid, token in found.items())


def test_all_of_the_list_can_be_chosen_with_its_filters(fleet):
    people.device("other-1", fleet.t0)
    client = people.console(fleet.operator)
    form = {
        "action": "new_credentials",
        "select_across": "1",
        "_selected_action": [fleet.device.pk],
    }
    page = client.post(f"{DEVICES}?q=dev-", form)
    assert page.context["uids"] == ["dev-01", "dev-02"]


def test_it_is_in_the_history_of_each_without_the_token(fleet):
    found = rows(save(fleet.operator, *Device.objects.filter(tenant=fleet.t0)))
    assert set(LogEntry.objects.values_list("object_repr", "change_message", "user__email")) == {
        (uid, "New credential.", "operator@t0.example") for uid in ("dev-01", "dev-02")
    }
    entries = str(list(LogEntry.objects.values()))
    assert not [row for row in found if row["token"] in entries]


def test_what_was_said_of_them_holds(fleet):
    (row,) = rows(save(fleet.operator, fleet.device, overlap=2, expires_at="2100-01-01T00:00"))
    assert row["expires_at"] == "2100-01-01T00:00:00+00:00"
    assert Credential.objects.in_force().count() == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"expires_at": "2020-01-01T00:00"}, "This is past."),
        ({"overlap": "721"}, "less than or equal to 720"),
        ({"keys": ""}, "This field is required."),
        ({"keys": "1,x"}, "Choose the devices in the list."),
        ({"keys": "9" * 30}, "Choose the devices in the list."),
        ({"keys": "9" * 19}, "not there any more"),
    ],
)
def test_what_cannot_be_is_explained_and_nothing_is_made(fleet, fields, said):
    page = save(fleet.operator, fleet.device, **fields)
    assert said in page.text
    assert Credential.objects.count() == 1


def test_a_device_that_is_gone_or_of_others_refuses_all(fleet):
    second = Device.objects.get(device_uid="dev-02")
    assert "not there any more" in save(fleet.operator, second, fleet.foreign).text
    Device.objects.filter(pk=second.pk).retire()
    assert "not there any more" in save(fleet.operator, fleet.device, second).text
    assert Credential.objects.count() == 1


def test_one_device_that_cannot_have_one_refuses_all(fleet, settings):
    ours = people.device(f"{settings.MQTT_CLIENT_ID}-ingest", fleet.t0)
    assert "another uid" in save(fleet.operator, fleet.device, ours).text
    assert Credential.objects.count() == 1


def test_more_devices_than_a_file_holds_are_refused(fleet, monkeypatch):
    monkeypatch.setattr(files, "MOST_ROWS", 1)
    page = save(fleet.operator, *Device.objects.filter(tenant=fleet.t0))
    assert "Choose fewer at a time" in page.text


def test_without_a_choice_the_address_leads_to_the_list(fleet):
    answer = people.console(fleet.operator).get(target())
    assert answer["Location"] == DEVICES


def test_a_viewer_is_not_offered_it_and_cannot_have_it(fleet):
    assert "new_credentials" not in people.console(fleet.viewer).get(DEVICES).text
    assert save(fleet.viewer, fleet.device).status_code == 403
    choose(fleet.viewer, fleet.device)
    assert Credential.objects.count() == 1
