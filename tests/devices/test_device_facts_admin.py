"""The console shows session and flow of data side by side, with since when and why."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from devices.models import DeviceType
from tests import cast as people

DEVICES = "/admin/devices/device/"


@pytest.fixture
def silent(cast):
    """A device that is online since three hours and has been silent for an hour of them."""
    now = timezone.now()
    made = people.device(
        "dev-02",
        cast.t0,
        session="online",
        since=now - timedelta(hours=3),
        data_at=now - timedelta(hours=2),
        data_since=now - timedelta(hours=3),
    )
    made.type = DeviceType.objects.create(name="sensor", offline_after=3600)
    made.save()
    return made


def page_of(user, device) -> str:
    return people.console(user).get(reverse("admin:devices_device_change", args=[device.pk])).text


def test_the_list_says_of_each_device_both_whether_it_is_there_and_whether_it_sends(cast, silent):
    page = people.console(cast.viewer).get(DEVICES).text
    assert "Online" in page
    assert "Silent" in page


def test_the_page_says_since_when_and_why(cast, silent):
    page = page_of(cast.viewer, silent)
    words = page.replace("\xa0", " ")
    assert ">3 hours<" in words
    assert "It said so itself." in page
    assert ">1 hour<" in words
    assert "No reading for more than 3600 s." in page


def test_the_page_of_a_device_that_was_never_heard_says_why_nobody_knows(cast):
    page = page_of(cast.viewer, cast.device)
    assert "It has said nothing of its connection." in page
    assert "It has never sent a reading." in page


@pytest.mark.parametrize(
    ("flow", "listed"),
    [
        ("silent", ["dev-02"]),
        ("flowing", []),
        ("unknown", ["dev-01"]),
        ("nonsense", ["dev-01", "dev-02"]),
    ],
)
def test_devices_are_found_by_whether_they_send(cast, silent, flow, listed):
    page = people.console(cast.viewer).get(DEVICES, {"data_flow": flow})
    assert [device.device_uid for device in page.context["cl"].result_list] == listed


def test_devices_are_sorted_by_whether_they_send(cast, silent):
    client = people.console(cast.operator)
    column = list(client.get(DEVICES).context["cl"].list_display).index("data")
    for sign, first in (("", "dev-02"), ("-", "dev-01")):
        page = client.get(DEVICES, {"o": f"{sign}{column}"})
        assert page.context["cl"].result_list[0].device_uid == first


def test_nobody_edits_a_fact(cast, silent):
    facts = {"session": "offline", "data": "flowing"}
    sent = {"name": "Roof", "labels": "{}", "type": silent.type_id, **facts}
    url = reverse("admin:devices_device_change", args=[silent.pk])
    people.console(cast.staff).post(url, sent)
    silent.refresh_from_db()
    assert (silent.name, silent.state.session) == ("Roof", "online")
    assert "Silent" in page_of(cast.viewer, silent)
