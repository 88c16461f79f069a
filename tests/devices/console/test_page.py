"""The page of a device, as the server makes it: what it says to whom, and at what cost."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from devices.console.values import is_out
from devices.models import Device, DeviceType
from tests import cast as people
from tests.queries import queries_of

FIELDS = {
    "temp": {"label": "Temperature", "unit": "°C", "min": -40, "max": 50},
    "rh": {"unit": "%"},
}
AT = 1_768_392_000_000.0


def page_of(device: Device) -> str:
    return reverse("admin:devices_device_change", args=[device.pk])


def part_of(device: Device, name: str) -> str:
    return reverse("admin:devices_device_part", args=[device.pk, name])


def heard(cast: SimpleNamespace, latest: dict[str, Any], fields: Any = FIELDS) -> Device:
    """A device that sent `latest`, of a type with `fields`, or of none."""
    values = {key: [value, AT] for key, value in latest.items()}
    made = people.device("dev-02", cast.t0, last_seen_at=timezone.now(), latest=values)
    if fields is not None:
        made.type = DeviceType.objects.create(name="sensor", fields=fields)
        made.save()
    return made


def chart_of(page: str) -> dict[str, Any]:
    """What the page tells the script of the chart."""
    (text,) = re.findall(r'<script id="chart-config" type="application/json">(.*?)</script>', page)
    config: dict[str, Any] = json.loads(text)
    return config


def row_of(page: str, key: str) -> str:
    return re.search(rf'<tr data-key="{key}".*?</tr>', page, re.DOTALL)[0]


def test_values_have_the_labels_and_units_of_the_type(cast):
    page = people.console(cast.viewer).get(page_of(heard(cast, {"temp": 21.5, "rh": 60}))).text
    assert "Temperature" in row_of(page, "temp")
    assert "°C" in row_of(page, "temp")
    assert "%" in row_of(page, "rh")
    assert "2026-01-14 12:00:00.000 UTC" in row_of(page, "rh")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(50, False), (50.1, True), (-40, False), (-41, True), ("51", False), (True, False)],
)
def test_a_value_is_out_of_range_beyond_what_the_type_says(value, expected):
    assert is_out(value, min=-40, max=50) is expected
    assert not is_out(value, min=None, max=None)


def test_only_a_value_out_of_range_is_marked(cast):
    page = people.console(cast.viewer).get(page_of(heard(cast, {"temp": 51, "rh": 160}))).text
    assert re.search(r"data-out[^>]*hidden>", row_of(page, "rh"))
    assert not re.search(r"data-out[^>]*hidden>", row_of(page, "temp"))
    assert "allowed: -40 to 50" in row_of(page, "temp")


def test_the_chart_offers_numbers_and_switches_and_begins_with_what_the_type_describes(cast):
    latest = {"a": True, "b": 1, "door": "open", "gps": {"lat": 1}, "x,y": 2, "temp": 3, "n": None}
    config = chart_of(people.console(cast.viewer).get(page_of(heard(cast, latest))).text)
    assert [each["key"] for each in config["keys"]] == ["a", "b", "temp"]
    assert config["keys"][2] == {"key": "temp", "label": "Temperature", "unit": "°C"}
    assert config["usual"] == ["temp", "b"]


def test_how_the_device_is_itself_comes_after_what_it_measures(cast):
    latest = {"battery_pct": 80, "hum": 40, "wifi.RSSI": -60, "z": 1}
    config = chart_of(people.console(cast.viewer).get(page_of(heard(cast, latest, None))).text)
    assert config["usual"] == ["hum", "z"]


def test_a_device_of_no_type_has_a_chart_too(cast):
    config = chart_of(people.console(cast.viewer).get(page_of(heard(cast, {"b": 1}, None))).text)
    assert config["keys"] == [{"key": "b", "label": "b", "unit": ""}]


def test_what_a_device_calls_its_keys_is_never_markup(cast):
    evil = '</script><script>alert("1")</script>'
    page = people.console(cast.viewer).get(page_of(heard(cast, {evil: 1}))).text
    assert evil not in page
    assert chart_of(page)["usual"] == [evil]


def test_two_hundred_keys_are_shown_and_of_more_their_number(cast):
    device = heard(cast, {f"k{number:03}": number for number in range(203)})
    page = people.console(cast.viewer).get(page_of(device)).text
    assert page.count("<tr data-key=") == 200
    assert "and 3 more" in page


def test_a_device_that_was_never_heard_says_how_it_would_be(cast, settings):
    settings.MQTT_ACCESS = "open"
    page = people.console(cast.operator).get(page_of(cast.device)).text
    assert "-q 1 -t t0/devices/dev-01/telemetry" in page
    settings.MQTT_ACCESS = "emqx"
    page = people.console(cast.operator).get(page_of(cast.device)).text
    assert "-u dev-01 -i dev-01 -P …" in page
    assert "Give it a credential" in page
    assert "first-message" not in people.console(cast.operator).get(page_of(heard(cast, {}))).text


def test_a_disabled_device_takes_no_commands_and_says_so(cast):
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    page = people.console(cast.operator).get(page_of(cast.device)).text
    assert "no command can be sent to it" in page
    assert "what it sends is rejected" in page
    assert "data-sending" not in page


def test_a_viewer_sees_no_form_to_send_and_nothing_of_credentials_and_rejects(cast):
    viewers, operators = (
        people.console(user).get(page_of(cast.device)).text for user in (cast.viewer, cast.operator)
    )
    for part in ("data-sending", 'id="credentials"', "data-rejected"):
        assert part in operators
        assert part not in viewers
    for part in ("data-chart", 'id="commands"', "/live/commands?devices=dev-01"):
        assert part in viewers


def test_the_commands_show_what_the_device_answered(cast):
    ended = {"status": "succeeded", "finished_at": timezone.now(), "reply": "ok"}
    people.command(cast.device, **ended, result={"uptime": 7})
    for address in (page_of(cast.device), part_of(cast.device, "commands")):
        page = people.console(cast.viewer).get(address).text
        assert "Succeeded" in page
        assert "{&quot;uptime&quot;: 7}" in page


@pytest.mark.parametrize(
    ("name", "said"), [("state", "data-session"), ("latest", "temp"), ("commands", "None yet.")]
)
def test_a_part_of_the_page_comes_alone(cast, name, said):
    device = heard(cast, {"temp": 1})
    part = people.console(cast.viewer).get(part_of(device, name)).text
    assert said in part
    assert "<html" not in part
    assert people.console(cast.stranger).get(part_of(device, name)).status_code == 404


def test_there_are_no_other_parts(cast):
    address = part_of(cast.device, "base_site")
    assert people.console(cast.staff).get(address).status_code == 404


def test_a_form_that_is_refused_does_not_change_what_the_page_says(cast):
    Device.objects.filter(pk=cast.device.pk).update(labels={"site": "Hanoi"})
    refused = {"name": "Roof", "labels": '{"a": 1}'}
    page = people.console(cast.operator).post(page_of(cast.device), refused).text
    assert "site: Hanoi" in page
    assert "Device dev-01" in page


def test_the_page_costs_at_most_twelve_statements_whatever_there_is(cast):
    device = heard(cast, {f"k{number}": number for number in range(200)})
    client = people.console(cast.operator)
    for _ in range(12):
        people.command(device)
        people.token(device, overlap=people.timedelta(days=1))
    assert len(queries_of(client, page_of(device))) <= 12
    for name in ("state", "latest", "commands"):
        assert len(queries_of(client, part_of(device, name))) <= 4


def test_the_files_are_exported_by_a_plain_link(cast):
    people.readings(cast.device, 2)
    client = people.console(cast.viewer, headers={"Accept": "text/html,*/*;q=0.8"})
    address = reverse("export", args=["dev-01"])
    span = {"from": "2026-01-14T11:59:30Z", "to": "2026-01-14T12:00:01Z"}
    answer = client.get(address, {**span, "as": "csv"})
    assert answer.getvalue().decode().splitlines()[1:] == ["2026-01-14T12:00:00+00:00,m0"]
    assert "attachment" in answer["Content-Disposition"]
