"""The console's page of a device type: what keys mean, and which devices have it."""

from html import unescape

import pytest
from django.urls import reverse

from devices.models import Device, DeviceType
from tests import cast as people

DEVICES = "/admin/devices/device/"
FIELDS = {"temp": {"label": "Temperature", "unit": "°C", "min": -40}}


@pytest.fixture
def kind(cast):
    """A type of t0 that one of its devices has, which sends a key more than it describes."""
    made = DeviceType.objects.create(name="station", tenant=cast.t0, fields=FIELDS)
    people.device("dev-02", cast.t0, latest={"temp": [1, 0.0], "<hum>": [2, 0.0]})
    Device.objects.filter(device_uid="dev-02").update(type=made)
    return made


def page_of(user, kind) -> str:
    page = reverse("admin:devices_devicetype_change", args=[kind.pk])
    return people.console(user).get(page).text


def test_it_leads_to_the_devices_that_have_the_type(cast, kind):
    page = page_of(cast.admin, kind)
    link = f"{DEVICES}?type={kind.pk}"
    assert f'href="{link}">1 device</a>' in page
    listed = people.console(cast.admin).get(link).context["cl"].result_list
    assert [device.device_uid for device in listed] == ["dev-02"]
    assert f'href="{link}"' in people.console(cast.viewer).get("/admin/devices/devicetype/").text


def test_a_type_that_no_device_has_says_so(cast):
    assert "none yet" in page_of(cast.viewer, DeviceType.objects.create(name="new"))


def test_who_writes_the_meaning_of_keys_sees_an_example_and_one_part_a_line(cast, kind):
    page = unescape(page_of(cast.admin, kind))
    assert '"hum": {"label": "Humidity", "unit": "%"}' in page
    assert '    "unit": "°C",\n' in page


def test_who_only_reads_it_sees_a_table(cast, kind):
    page = page_of(cast.viewer, kind)
    assert ">Temperature</td>" in page
    assert ">-40</td>" in page
    assert "For example:" not in page


def test_it_says_which_keys_are_sent_and_not_described(cast, kind):
    assert "&lt;hum&gt;" in page_of(cast.admin, kind)
    DeviceType.objects.update(fields=FIELDS | {"<hum>": {}})
    assert "All keys that its devices send are described." in page_of(cast.viewer, kind)


def test_to_save_without_a_change_changes_nothing(cast, kind):
    page = reverse("admin:devices_devicetype_change", args=[kind.pk])
    client = people.console(cast.admin)
    form = client.get(page).context["adminform"].form
    sent = {name: form[name].value() or "" for name in form.fields}
    client.post(page, sent)
    history = client.get(reverse("admin:devices_devicetype_history", args=[kind.pk])).text
    assert "No fields changed." in history
