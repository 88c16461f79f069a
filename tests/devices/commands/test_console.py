"""The console's list of commands, and taking them back there and on their pages."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import SUCCESS, WARNING
from django.db import connection
from django.urls import reverse

from devices.commands import outbox
from devices.models import Command, Device, DeviceQueue
from tests import cast as people
from tests.devices.commands.pages import COMMANDS, FAILED, LATE, NOW, SENT, device_page, page_of
from tests.queries import plan_of, queries_of

NOBODYS = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def listed(user, **parameters) -> list[Command]:
    answer = people.console(user).get(COMMANDS, parameters)
    return list(answer.context["cl"].result_list)


def cancel(user, *commands, **parameters):
    """The answer to the action “Cancel” on chosen commands of the list."""
    data = {"action": "cancel_selected", "index": 0, "_selected_action": [c.pk for c in commands]}
    address = COMMANDS + "?" + "&".join(f"{key}={value}" for key, value in parameters.items())
    return people.console(user).post(address, data, follow=True)


def press_cancel(user, command):
    address = reverse("admin:devices_command_cancel", args=[command.pk])
    return people.console(user).post(address, follow=True)


# The list ----------------------------------------------------------------------------------------


def test_the_commands_of_the_tenant_are_listed_newest_first(cast):
    theirs = people.command(cast.foreign)
    ours = [people.command(cast.device) for _ in range(3)]
    assert listed(cast.viewer) == ours[::-1]
    assert listed(cast.stranger) == [theirs]
    assert listed(cast.staff) == [*ours[::-1], theirs]


def test_the_list_says_whom_each_command_is_for_how_far_it_is_and_who_asked(cast):
    people.command(cast.device, cast.operator, reason="The device is offline.")
    page = people.console(cast.viewer).get(COMMANDS).text
    assert device_page(cast.device) in page
    for text in ("{&quot;delay&quot;: 5}", "Queued", "The device is offline.", cast.operator.email):
        assert text in page


def test_the_list_says_why_a_command_is_not_further_or_failed(cast):
    people.command(cast.device, **FAILED, error="Jammed. " * 50)
    silent = people.command(people.device("dev-02", cast.t0))
    DeviceQueue.objects.filter(device=silent.device_id).update(look_at=NOW - timedelta(minutes=1))
    client = people.console(cast.viewer)
    page = client.get(COMMANDS).text
    assert re.search(r">(Jammed. ){14}Jammed.…<", page)
    assert page.count("No dispatcher has taken it.") == 1
    assert "Jammed." in client.get(device_page(cast.device)).text
    for address in (device_page(silent.device), page_of(silent)):
        assert "No dispatcher has taken it." in client.get(address).text


def test_an_empty_list_says_how_commands_come_into_being(cast):
    client = people.console(cast.operator)
    page = client.get(COMMANDS).text
    assert "Send a command from the page of a device." in page
    assert "Create a new" not in page
    filtered = client.get(COMMANDS, {"status__exact": "sent"}).text
    assert ("Nothing matches" in filtered, "Send a command" in filtered) == (True, False)


def test_other_empty_lists_offer_what_can_be_done_there(cast):
    page = people.console(cast.admin).get("/admin/devices/devicetype/").text
    assert "Add device type" in page


def test_a_reply_that_came_too_late_is_told_beside_the_status(cast):
    people.command(cast.device, **LATE)
    page = people.console(cast.viewer).get(COMMANDS).text
    assert re.search(r"Expired\s*</span>\s*<span[^>]*>\s*late reply", page)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"open": "true"}, ["sent", "queued"]),
        ({"open": "false"}, ["failed"]),
        ({"open": "nonsense"}, ["failed", "sent", "queued"]),
        ({"status__exact": "sent"}, ["sent"]),
        ({"status__exact": "nonsense"}, []),
        ({"created_at_from_0": "2026-01-01", "created_at_to_0": "2026-01-01"}, []),
        ({"created_at_from_0": "2026-01-01"}, ["failed", "sent", "queued"]),
        ({"o": "1"}, ["failed", "sent", "queued"]),
    ],
)
def test_the_list_can_be_narrowed(cast, parameters, expected):
    for fields in ({}, SENT, FAILED):
        people.command(cast.device, **fields)
    assert [command.status for command in listed(cast.viewer, **parameters)] == expected


def test_only_staff_choose_a_tenant(cast):
    people.command(cast.device)
    theirs = people.command(cast.foreign)
    assert listed(cast.staff, tenant__id__exact=cast.other.pk) == [theirs]
    assert listed(cast.viewer, tenant__id__exact=cast.other.pk) == []


def test_the_list_of_one_device_or_one_batch_says_so(cast):
    other = people.command(people.device("dev-02", cast.t0))
    own = people.command(cast.device)
    assert listed(cast.viewer, device=other.device_id) == [other]
    batch = people.batch(cast.t0)
    assert set(listed(cast.viewer, batch=batch.pk)) == set(batch.commands.all())
    assert listed(cast.viewer, batch=batch.pk, device=own.device_id) == [
        batch.commands.get(device=own.device_id)
    ]
    page = people.console(cast.viewer).get(COMMANDS, {"batch": batch.pk}).text
    assert reverse("admin:devices_commandbatch_change", args=[batch.pk]) in page


@pytest.mark.parametrize("part", ["device", "batch"])
@pytest.mark.parametrize("value", ["0", "nonsense", "9" * 30, NOBODYS])
def test_the_list_of_what_is_not_there_is_not_found(cast, part, value):
    assert people.console(cast.staff).get(COMMANDS, {part: value}).status_code == 404


def test_the_list_of_what_is_another_tenants_is_not_found(cast):
    client = people.console(cast.viewer)
    for parameters in ({"device": cast.foreign.pk}, {"batch": people.batch(cast.other).pk}):
        assert client.get(COMMANDS, parameters).status_code == 404


@pytest.mark.parametrize(
    "crafted",
    [{"cmd": "reboot"}, {"error__contains": "x"}, {"params__delay": "5"}, {"device__gt": "0"},
     {"status__exact": "\0"}, {"number__gt": "1"}],
)  # fmt: skip
def test_no_other_filter_is_taken(cast, crafted):
    assert people.console(cast.viewer).get(COMMANDS, crafted).status_code == 400


def test_a_search_finds_a_command_by_its_id_and_those_of_a_device_by_its_uid(cast):
    first, second = people.command(cast.device), people.command(cast.device)
    people.command(people.device("dev-011", cast.t0))
    assert listed(cast.viewer, q=str(first.id)) == [first]
    assert listed(cast.viewer, q=f" {first.id.hex.upper()} ") == [first]
    assert listed(cast.viewer, q="dev-01") == [second, first]


@pytest.mark.parametrize("q", ["nonsense", "ev-0", NOBODYS, "0" * 31, "{", "٣" * 32, "foreign-01"])
def test_a_search_for_what_is_not_there_finds_nothing(cast, q):
    people.command(cast.device)
    people.command(cast.foreign)
    assert listed(cast.viewer, q=q) == []


def test_a_search_for_nul_is_no_fault_of_ours(cast):
    assert people.console(cast.viewer).get(COMMANDS, {"q": "\0"}).status_code == 200


def test_the_list_costs_the_same_however_long_it_is(cast):
    people.command(cast.device, cast.operator)
    client = people.console(cast.staff)
    few = len(queries_of(client, COMMANDS))
    for number in range(20):
        people.command(people.device(f"fleet-{number}", cast.t0), cast.operator)
    assert len(queries_of(client, COMMANDS)) == few <= 5


def test_the_list_is_read_by_an_index_and_no_further_than_its_page(cast):
    batch, uid = fill_history(cast), "fleet-1"
    client = people.console(cast.viewer)
    for parameters in (
        {},
        {"device": Device.objects.get(device_uid=uid).pk},
        {"q": uid},
        {"q": Command.objects.first().id},
        {"batch": batch.pk},
        {"open": "true"},
        {"status__exact": "acknowledged"},
    ):
        statements = queries_of(client, COMMANDS, **parameters)
        (statement,) = [each for each in statements if 'FROM "devices_command"' in each]
        assert " LIMIT " in statement
        nodes = [n for n in plan_of(statement) if n.get("Relation Name") == "devices_command"]
        assert all("Index" in node["Node Type"] for node in nodes), parameters


def fill_history(cast):
    """Some thousand commands that have ended and a batch that has not, as the planner knows."""
    for number in range(5):
        people.device(f"fleet-{number}", cast.t0)
    ended = {"tenant": cast.t0, "cmd": "reboot", "status": "expired", "finished_at": NOW}
    Command.objects.bulk_create(
        Command(device=device, expires_at=NOW + timedelta(days=1), **ended)
        for device in Device.objects.filter(tenant=cast.t0)
        for _ in range(500)
    )
    batch = people.batch(cast.t0)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_command, devices_device")
    return batch


# Cancelling --------------------------------------------------------------------------------------


def test_of_the_chosen_those_still_queued_are_cancelled_and_of_the_others_it_is_said_why_not(cast):
    queued = [people.command(cast.device, cast.operator) for _ in range(3)]
    others = [people.command(cast.device, **fields) for fields in (SENT, SENT, FAILED)]
    held = people.command(people.device("dev-02", cast.t0))
    held.claimed_at = NOW
    held.save(update_fields=["claimed_at"])
    page = cancel(cast.operator, *queued, *others, held).text
    said = (
        "3 cancelled; 2 were already sent; 1 is on its way to the broker; 1 had ended before. "
        "What is out already is not published again."
    )
    assert said in page
    assert {Command.objects.get(pk=each.pk).status for each in queued} == {"cancelled"}
    assert set(LogEntry.objects.values_list("object_id", "change_message", "user")) == {
        (str(each.pk), "Cancelled.", cast.operator.pk) for each in queued
    }


def test_a_list_that_is_narrowed_to_the_queued_says_the_same(cast):
    commands = [people.command(cast.device) for _ in range(2)]
    page = cancel(cast.operator, *commands, status__exact="queued").text
    assert "2 cancelled." in page


def test_only_what_was_chosen_and_may_be_seen_is_cancelled(cast):
    own, left, theirs = (people.command(d) for d in (cast.device, cast.device, cast.foreign))
    said = "1 cancelled; 1 is not in this list any more."
    assert said in cancel(cast.operator, own, theirs).text
    assert list(Command.objects.filter(status="queued")) == [theirs, left]


@pytest.mark.parametrize(("missing", "level"), [(False, SUCCESS), (True, WARNING)])
def test_that_not_all_was_cancelled_is_no_success(cast, missing, level):
    chosen = [people.command(cast.foreign)] if missing else [people.command(cast.device)]
    (message,) = cancel(cast.operator, *chosen).context["messages"]
    assert message.level == level


def test_cancelling_many_takes_few_statements(cast):
    data = {"action": "cancel_selected", "index": 0}
    commands = [people.command(people.device(f"n{n}", cast.t0)).pk for n in range(5)]
    client = people.console(cast.operator)
    few = queries_of(client, COMMANDS, "post", **data, _selected_action=commands[:1])
    more = queries_of(client, COMMANDS, "post", **data, _selected_action=commands[1:])
    assert len(more) == len(few)
    assert Command.objects.filter(status="cancelled").count() == 5


def test_a_chosen_row_that_is_none_is_refused(cast):
    data = {"action": "cancel_selected", "index": 0, "_selected_action": ["nonsense"]}
    people.command(cast.device)
    assert people.console(cast.operator).post(COMMANDS, data).status_code == 400


def test_the_button_of_a_queued_command_cancels_it(cast):
    command = people.command(cast.device)
    address = reverse("admin:devices_command_cancel", args=[command.pk])
    assert address in people.console(cast.operator).get(page_of(command)).text
    answer = press_cancel(cast.operator, command)
    assert answer.redirect_chain == [(page_of(command), 302)]
    assert "Cancelled. The device will not get it." in answer.text
    assert command.transitions.last().by == cast.operator.email
    assert outbox.turn([], 10).claims == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (SENT, "Not cancelled. It was already sent, at 20"),
        ({"claimed_at": NOW}, "Not cancelled. It is on its way to the broker, or may be"),
    ],
)
def test_what_is_out_already_can_be_kept_from_being_published_again(cast, fields, said):
    command = people.command(cast.device, **fields)
    client = people.console(cast.operator)
    assert "Do not publish it again" in client.get(page_of(command)).text
    assert said in press_cancel(cast.operator, command).text
    page = client.get(page_of(command)).text
    assert "It will not be published again." in page
    assert "Do not publish it again" not in page
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (FAILED, "Not cancelled. It has already failed."),
        ({**SENT, "status": "acknowledged", "acknowledged_at": NOW}, "Only the device can stop."),
    ],
)
def test_what_cannot_be_taken_back_has_no_button_and_the_answer_says_why(cast, fields, said):
    command = people.command(cast.device, **fields)
    address = reverse("admin:devices_command_cancel", args=[command.pk])
    assert address not in people.console(cast.operator).get(page_of(command)).text
    assert said in press_cancel(cast.operator, command).text
    assert Command.objects.get().status == command.status
    assert not LogEntry.objects.exists()


def test_a_viewer_sees_no_buttons_and_cancels_nothing(cast):
    command = people.command(cast.device)
    client = people.console(cast.viewer)
    assert "cancel" not in client.get(page_of(command)).text.lower()
    assert "cancel_selected" not in client.get(COMMANDS).text
    assert cancel(cast.viewer, command).status_code == 403
    assert press_cancel(cast.viewer, command).status_code == 403
    assert Command.objects.get().status == "queued"


def test_a_command_of_others_is_not_found(cast):
    command = people.command(cast.foreign)
    client = people.console(cast.admin)
    assert client.get(page_of(command)).status_code == 404
    assert press_cancel(cast.admin, command).status_code == 404
    assert Command.objects.get().status == "queued"


def test_cancelling_takes_a_form_of_ours(cast):
    command = people.command(cast.device)
    address = reverse("admin:devices_command_cancel", args=[command.pk])
    assert people.console(cast.operator).get(address).status_code == 405
    client = people.console(cast.operator, enforce_csrf_checks=True)
    assert client.post(address).status_code == 403
    assert Command.objects.get().status == "queued"
