"""The console's list of devices: what it says of each, what it is narrowed to, what it costs."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from devices.models import Alert, AlertRule, Device, DeviceState, DeviceType
from tests import cast as people
from tests.queries import queries_of

DEVICES = "/admin/devices/device/"
MOST_QUERIES = 12


def page_of(user, **parameters) -> str:
    return unescape(people.console(user).get(DEVICES, parameters).text)


def uids_listed(user, **parameters) -> list[str]:
    shown = people.console(user).get(DEVICES, parameters).context["cl"]
    return [device.device_uid for device in shown.result_list]


def labelled(uid, tenant, **labels) -> Device:
    made = people.device(uid, tenant)
    Device.objects.filter(pk=made.pk).update(labels=labels)
    return Device.objects.get(pk=made.pk)


def alert(device) -> Alert:
    rule = AlertRule.objects.create(name="silent", tenant=device.tenant)
    now = timezone.now()
    return Alert.objects.create(
        rule=rule, device=device, tenant=device.tenant, condition="silent", since=now, raised_at=now
    )


@pytest.fixture
def sites(cast):
    """Three devices with labels."""
    cast.roof = labelled("roof", cast.t0, site="Hanoi", floor="9")
    cast.cellar = labelled("cellar", cast.t0, site="Hanoi", floor="0")
    cast.harbour = labelled("harbour", cast.t0, site="Đà Nẵng")
    return cast


def test_it_says_since_when_a_device_is_what_it_is(cast):
    now = timezone.now()
    people.device("dev-02", cast.t0, session="offline", since=now - timedelta(hours=3))
    people.device("dev-03", cast.t0, session="online", since=now)
    page = page_of(cast.viewer)
    assert re.search(r'for <time title="[^"]+ UTC" data-length>3\xa0hours</time>', page)
    assert "data-length>less than a minute</time>" in page


def test_it_says_which_devices_are_disabled_and_which_have_an_alert(cast):
    assert "Disabled" not in page_of(cast.viewer).partition('id="result_list"')[2]
    Device.objects.update(is_enabled=False)
    alert(cast.device)
    rows = page_of(cast.viewer).partition('id="result_list"')[2]
    assert "Disabled" in rows
    assert f"/admin/devices/alert/?device__id__exact={cast.device.pk}&state=open" in rows


def test_values_have_the_names_and_units_of_the_type_and_those_without_come_last(cast):
    fields = {"temp": {"label": "Temperature", "unit": "°C", "max": 30}, "hum": {"unit": "%"}}
    kind = DeviceType.objects.create(name="station", fields=fields)
    latest = {"a": [1, 0.0], "b": [2, 0.0], "hum": [40, 0.0], "temp": [31.5, 0.0]}
    device = people.device("dev-02", cast.t0, latest=latest)
    Device.objects.filter(pk=device.pk).update(type=kind)
    page = page_of(cast.viewer)
    warm = '<span class="list-out">Temperature 31.5\xa0°C</span>'
    assert f"hum 40\xa0%, {warm}, a 1 + 1 more" in page


def test_a_label_of_a_device_narrows_the_list_and_widens_it_again(sites):
    page = page_of(sites.viewer, label="site:Hanoi", session="unknown")
    assert 'href="?label=site%3AHanoi&label=floor%3A9&session=unknown"' in page
    assert 'href="?session=unknown"' in page


@pytest.mark.parametrize(
    ("labels", "listed"),
    [
        (["site"], ["cellar", "harbour", "roof"]),
        (["site:Hanoi"], ["cellar", "roof"]),
        (["site:Hanoi", "floor:9"], ["roof"]),
        (["site:Hanoi", ""], ["cellar", "roof"]),
        (["site:"], []),
        ([":Hanoi"], []),
        ([""], ["cellar", "dev-01", "harbour", "roof"]),
    ],
)
def test_devices_are_found_by_labels(sites, labels, listed):
    assert uids_listed(sites.viewer, label=labels) == listed


def test_each_label_that_is_asked_for_has_a_field_and_there_is_one_more(sites):
    page = page_of(sites.viewer, label=["site:Hanoi", "floor"])
    assert page.count('<input type="text" name="label"') == 3


def test_devices_with_an_open_alert_are_found(sites):
    alert(sites.roof)
    over = alert(sites.cellar)
    Alert.objects.filter(pk=over.pk).update(cleared_at=timezone.now(), end="over")
    assert uids_listed(sites.viewer, alert="open") == ["roof"]
    assert len(uids_listed(sites.viewer, alert="nonsense")) == 4


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("oof", ["roof"]),
        ("device ROOF", ["roof"]),
        ('"device roof"', ["roof"]),
        ("'", []),
        ('""', []),
        ("nẵng", ["harbour"]),
        ("site:Hanoi", ["cellar", "roof"]),
        ("hanoi 9", ["roof"]),
        ("nowhere", []),
    ],
)
def test_a_search_looks_into_uid_name_and_labels(sites, text, listed):
    assert uids_listed(sites.viewer, q=text) == listed


def test_an_empty_list_says_what_to_do_next(cast):
    Device.objects.all().retire()
    assert f"{DEVICES}add/" in (page := page_of(cast.operator))
    assert "There is no device yet" in page
    assert "How a device connects" in page
    assert "An operator or an admin of your tenant can add some." in page_of(cast.viewer)


def test_a_list_in_which_nothing_matches_offers_to_clear_the_filters(cast):
    for parameters in ({"q": "nowhere"}, {"session": "online"}, {"label": "site"}):
        page = page_of(cast.operator, **parameters)
        assert "No device matches" in page
        assert 'href="?"' in page


@pytest.mark.parametrize("parameters", [{}, {"label": "site:Hanoi", "alert": "open", "q": "dev"}])
def test_a_full_page_takes_few_queries(cast, parameters):
    kind = DeviceType.objects.create(name="station", tenant=cast.t0)
    made = Device.objects.bulk_create(
        Device(device_uid=f"dev-{n}", tenant=cast.t0, type=kind, labels={"site": "Hanoi"})
        for n in range(100, 160)
    )
    DeviceState.objects.bulk_create(DeviceState(device=each) for each in made)
    alert(made[0])
    for user in (cast.viewer, cast.staff):
        assert len(queries_of(people.console(user), DEVICES, **parameters)) <= MOST_QUERIES


def test_the_filters_are_kept_on_the_way_to_a_device_and_to_the_export(sites):
    page = page_of(sites.operator, label="floor:9")
    assert f"{sites.roof.pk}/change/?_changelist_filters=label%3Dfloor%253A9" in page
    assert "export.csv?label=floor%3A9" in page
