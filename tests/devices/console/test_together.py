"""What is done to the devices chosen in the console's list, by whom, and what it says of it."""

from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from devices import together
from devices.console import chosen
from devices.models import BrokerChange, Command, CommandBatch, Device, DeviceType
from devices.validation import MOST_LABELS
from tests import cast as people
from tests.queries import queries_of

DEVICES = "/admin/devices/device/"
SEND = {"cmd": "reboot", "life": 1, "unit": 3600, "key": "0b7e9a52-98b1-4dd4-a6a0-8a7bb0d6b3ab"}


@pytest.fixture
def fleet(cast):
    """Two devices of t0 beside dev-01."""
    cast.second, cast.third = (people.device(f"dev-0{n}", cast.t0) for n in (2, 3))
    return cast


def choose(user, action, *devices, **more):
    """The answer to an action of the list."""
    filters = more.pop("filters", "")
    sent = {"action": action, "_selected_action": [each.pk for each in devices], **more}
    return people.console(user).post(f"{DEVICES}{filters}", sent)


def press(user, name, *devices, **more):
    """The page that comes after the button of a page about chosen devices."""
    keys = ",".join(str(each.pk) for each in devices)
    page = reverse(f"admin:devices_device_{name}_chosen")
    return people.console(user).post(page, {"keys": keys, **more}, follow=True)


def histories() -> dict[str, str]:
    entries = LogEntry.objects.filter(content_type__model="device")
    return {entry.object_repr: entry.change_message for entry in entries}


def labels() -> dict[str, dict[str, str]]:
    devices = Device.objects.filter(tenant__slug="t0")
    return dict(devices.values_list("device_uid", "labels"))


def test_to_disable_asks_first_and_says_what_it_means(fleet):
    answer = choose(fleet.operator, "disable", fleet.device, fleet.second)
    assert "Disable devices: 2 devices" in answer.text
    assert "their messages are rejected" in answer.text
    assert f'value="{fleet.device.pk},{fleet.second.pk}"' in answer.text
    assert not Device.objects.filter(is_enabled=False).exists()


def test_disabled_are_those_that_were_chosen_and_were_not_so(fleet, settings):
    settings.MQTT_ACCESS = "mosquitto"
    Device.objects.filter(pk=fleet.third.pk).update(is_enabled=False)
    answer = press(fleet.operator, "disable", fleet.device, fleet.third)
    disabled = Device.objects.filter(is_enabled=False).order_by("pk")
    assert list(disabled) == [fleet.device, fleet.third]
    assert "1 device was changed; 1 was like this already." in answer.text
    assert histories() == {"dev-01": "Disabled."}
    assert [change.device_uid for change in BrokerChange.objects.all()] == ["dev-01"]


def test_to_enable_needs_no_page_and_tells_the_broker(fleet, settings):
    settings.MQTT_ACCESS = "mosquitto"
    Device.objects.update(is_enabled=False)
    answer = choose(fleet.operator, "enable", fleet.device, fleet.foreign, filters="?q=dev")
    assert answer["Location"] == f"{DEVICES}?q=dev"
    assert list(Device.objects.filter(is_enabled=True)) == [fleet.device]
    assert histories() == {"dev-01": "Enabled."}
    assert BrokerChange.objects.get().device_uid == "dev-01"


def test_whoever_ticked_a_device_means_it_even_if_it_no_longer_matches(fleet):
    answer = choose(fleet.operator, "disable", fleet.device, filters="?session=online")
    assert "Disable devices: 1 device" in answer.text


def test_all_that_match_can_be_chosen_and_no_others(fleet):
    Device.objects.filter(pk=fleet.third.pk).update(name="Roof")
    answer = choose(fleet.operator, "disable", fleet.third, filters="?q=Device", select_across=1)
    assert f'value="{fleet.device.pk},{fleet.second.pk}"' in answer.text
    assert 'name="filters" value="q=Device"' in answer.text


def test_afterwards_the_list_has_the_filters_that_it_had(fleet):
    answer = press(fleet.operator, "disable", fleet.device, filters="q=dev&session=unknown")
    assert answer.redirect_chain == [(f"{DEVICES}?q=dev&session=unknown", 302)]


def test_more_than_can_be_done_at_once_are_refused_at_the_list_and_later(fleet, monkeypatch):
    monkeypatch.setattr(chosen, "MOST_CHOSEN", 2)
    for action in ("disable", "enable"):
        answer = choose(fleet.operator, action, fleet.device, select_across=1)
        page = people.console(fleet.operator).get(answer["Location"])
        assert answer.status_code == 302
    assert page.status_code == 200
    answer = press(fleet.operator, "disable", fleet.device, fleet.second, fleet.third)
    assert "More than 2 devices are chosen." in answer.text
    assert not Device.objects.filter(is_enabled=False).exists()


@pytest.mark.parametrize("keys", ["", "x", "1,", "9" * 30])
def test_what_names_no_devices_is_refused(fleet, keys):
    page = reverse("admin:devices_device_disable_chosen")
    answer = people.console(fleet.operator).post(page, {"keys": keys})
    assert answer.status_code == 200
    assert answer.context["form"].errors


def test_devices_of_others_and_deleted_ones_are_left_out(fleet):
    Device.objects.filter(pk=fleet.third.pk).retire()
    answer = press(fleet.operator, "disable", fleet.device, fleet.foreign, fleet.third)
    assert "1 device was changed; 2 are not there any more." in answer.text
    assert Device.objects.get(pk=fleet.foreign.pk).is_enabled
    assert (
        "None of these devices is there any more."
        in press(fleet.operator, "disable", fleet.foreign).text
    )


def test_a_label_is_added_to_what_devices_have(fleet):
    Device.objects.filter(pk=fleet.second.pk).update(labels={"site": "Hue", "floor": "9"})
    page = choose(fleet.operator, "set_label", fleet.device, fleet.second).text
    assert '<option value="floor">' in page
    press(fleet.operator, "label", fleet.device, fleet.second, key="site", value="Hanoi")
    assert labels() == {
        "dev-01": {"site": "Hanoi"},
        "dev-02": {"site": "Hanoi", "floor": "9"},
        "dev-03": {},
    }
    assert histories() == dict.fromkeys(["dev-01", "dev-02"], "Label site set to “Hanoi”.")


def test_a_device_without_room_for_a_label_is_counted(fleet):
    full = {f"n{n}": "" for n in range(MOST_LABELS)}
    Device.objects.filter(pk=fleet.second.pk).update(labels=full)
    answer = press(fleet.operator, "label", fleet.device, fleet.second, key="site", value="Hanoi")
    assert "1 device was changed; 1 has 64 labels already, and no room for another." in answer.text
    press(fleet.operator, "label", fleet.second, key="n0", value="x")
    assert labels()["dev-02"] == full | {"n0": "x"}


@pytest.mark.parametrize(("key", "value"), [("a:b", "c"), ("", "c"), ("a", ""), ("k" * 65, "c")])
def test_a_label_that_is_none_is_refused_and_the_choice_kept(fleet, key, value):
    answer = press(fleet.operator, "label", fleet.device, key=key, value=value)
    assert answer.context["form"].errors
    assert f'value="{fleet.device.pk}"' in answer.text
    assert labels()["dev-01"] == {}


def test_a_label_that_some_have_is_removed(fleet):
    Device.objects.filter(pk=fleet.second.pk).update(labels={"site": "Hue", "floor": "9"})
    page = choose(fleet.operator, "remove_label", fleet.device, fleet.second).text
    assert '<option value="floor"' in page
    press(fleet.operator, "unlabel", fleet.device, fleet.second, key="site")
    assert labels()["dev-02"] == {"floor": "9"}
    assert histories() == {"dev-02": "Label site removed."}
    assert press(fleet.operator, "unlabel", fleet.device, key="nothing").context["form"].errors


def test_a_type_is_set_and_taken_away(fleet):
    kind = DeviceType.objects.create(name="station", tenant=fleet.t0)
    page = choose(fleet.operator, "set_type", fleet.device, fleet.second).text
    assert "station (t0)</option>" in page
    press(fleet.operator, "type", fleet.device, fleet.second, type=kind.pk)
    assert kind.devices.count() == 2
    assert histories() == dict.fromkeys(["dev-01", "dev-02"], "Type set to “station”.")
    press(fleet.operator, "type", fleet.device, type="")
    assert list(kind.devices.all()) == [fleet.second]


def test_devices_of_several_tenants_can_only_have_a_shared_type(fleet):
    own = DeviceType.objects.create(name="own", tenant=fleet.t0)
    shared = DeviceType.objects.create(name="shared")
    both = fleet.device, fleet.foreign
    assert press(fleet.staff, "type", *both, type=own.pk).context["form"].errors
    press(fleet.staff, "type", *both, type=shared.pk)
    assert shared.devices.count() == 2
    assert together.set_type(Device.objects.all(), own).changed == [
        each.pk for each in (fleet.device, fleet.second, fleet.third)
    ]


def test_deleted_devices_are_retired_with_an_entry_in_their_history(fleet):
    page = choose(fleet.operator, "delete_selected", fleet.device, fleet.second).text
    assert "This cannot be undone." in page
    assert Device.objects.filter(deleted_at=None).count() == 4
    answer = press(fleet.operator, "delete", fleet.device, fleet.second, fleet.foreign)
    assert "2 devices were deleted." in answer.text
    remaining = Device.objects.filter(deleted_at=None).order_by("pk")
    assert list(remaining) == [fleet.foreign, fleet.third]
    assert histories().keys() == {"dev-01", "dev-02"}


def test_a_command_goes_to_the_chosen_devices_as_one_batch(fleet):
    Device.objects.filter(pk=fleet.third.pk).update(is_enabled=False)
    page = choose(fleet.operator, "send_command", fleet.device, fleet.second, fleet.third).text
    assert "1 of them is skipped: dev-03 is disabled. Enable it first." in unescape(page)
    answer = press(fleet.operator, "send", fleet.device, fleet.second, fleet.third, **SEND)
    batch = CommandBatch.objects.get()
    assert answer.redirect_chain[0][0] == reverse(
        "admin:devices_commandbatch_change", args=[batch.pk]
    )
    sent_to = Command.objects.order_by("device").values_list("device__device_uid", flat=True)
    assert list(sent_to) == ["dev-01", "dev-02"]
    assert [each["device_uid"] for each in batch.skipped] == ["dev-03"]


def test_a_command_that_comes_twice_is_sent_once(fleet):
    for _ in range(2):
        answer = press(fleet.operator, "send", fleet.device, **SEND)
    assert "Nothing was sent twice." in answer.text
    answer = press(fleet.operator, "send", fleet.device, **SEND | {"cmd": "blink"})
    assert "has sent another command already" in answer.text
    assert Command.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cmd": ""}, "This field is required."),
        ({"params": "{"}, "This is no JSON"),
        ({"life": 9999}, "Choose at most 30 days."),
    ],
)
def test_a_command_that_is_none_is_explained(fleet, wrong, said):
    assert said in press(fleet.operator, "send", fleet.device, **SEND | wrong).text
    assert not CommandBatch.objects.exists()


def test_a_command_to_devices_of_several_tenants_is_refused(fleet):
    answer = press(fleet.staff, "send", fleet.device, fleet.foreign, **SEND)
    assert "A command goes to devices of one tenant." in answer.text


def test_a_command_that_nobody_can_get_is_refused(fleet):
    Device.objects.update(is_enabled=False)
    answer = press(fleet.operator, "send", fleet.device, **SEND)
    assert "It cannot be queued for any of these devices." in answer.text


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_chosen_devices_are_exported_by_viewers_too(fleet, kind):
    answer = choose(fleet.viewer, f"export_{kind}", fleet.second, fleet.foreign)
    assert f"devices.{kind}" in answer["Content-Disposition"]
    body = b"".join(answer.streaming_content).decode()
    assert [uid in body for uid in ("dev-01", "dev-02", "foreign-01")] == [False, True, False]


def test_a_viewer_is_offered_the_export_and_nothing_that_changes_something(fleet):
    page = people.console(fleet.viewer).get(DEVICES)
    offered = [name for name, _ in page.context["action_form"].fields["action"].choices if name]
    assert offered == ["export_csv", "export_json"]


def test_it_takes_as_many_queries_for_three_devices_as_for_one(fleet):
    def cost(*devices) -> int:
        page = reverse("admin:devices_device_label_chosen")
        sent = {"keys": ",".join(str(each.pk) for each in devices), "key": "n", "value": "1"}
        return len(queries_of(people.console(fleet.operator), page, "post", **sent))

    one = cost(fleet.device)
    Device.objects.update(labels={})
    assert cost(fleet.device, fleet.second, fleet.third) == one
