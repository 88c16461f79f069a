"""The console's page to send a command from: what is sent, what is refused, and never twice."""

import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.urls import reverse

from devices.models import Command, Device
from tests import cast as people


def page_of(device) -> str:
    return reverse("admin:devices_device_command", args=[device.pk])


def typed(**fields) -> dict:
    """What a browser sends of the form."""
    form = {"cmd": "reboot", "params": '{"delay": 5}', "life": 24, "unit": 3600}
    return {**form, "key": uuid.uuid4(), **fields}


def send(user, device, **fields):
    return people.console(user).post(page_of(device), typed(**fields))


def test_a_command_is_sent_and_its_page_says_how_far_it_is(cast):
    answer = people.console(cast.operator).post(page_of(cast.device), typed(), follow=True)
    command = Command.objects.get()
    page = reverse("admin:devices_command_change", args=[command.pk])
    assert answer.redirect_chain == [(page, 302)]
    assert "“reboot” is queued for dev-01." in answer.text
    assert (command.device, command.cmd, command.params, command.status, command.issued_by) == (
        cast.device, "reboot", {"delay": 5}, "queued", cast.operator,
    )  # fmt: skip


def test_the_history_says_to_which_device_and_with_what_a_command_was_sent(cast):
    send(cast.operator, cast.device)
    history = people.console(cast.admin).get("/admin/accounts/change/").text
    page = reverse("admin:devices_command_change", args=[Command.objects.get().pk])
    assert f'href="{page}"' in history
    assert "Sent to dev-01 with {&quot;delay&quot;: 5}" in history


@pytest.mark.parametrize(
    ("life", "unit", "expected"),
    [(1, 1, timedelta(seconds=1)), (5, 60, timedelta(minutes=5)), (720, 3600, timedelta(days=30))],
)
def test_its_life_is_what_was_chosen(cast, life, unit, expected):
    send(cast.operator, cast.device, life=life, unit=unit)
    command = Command.objects.get()
    assert command.expires_at - command.created_at == expected


def test_the_form_proposes_a_day_and_sends_what_it_proposes(cast):
    client = people.console(cast.operator)
    form = client.get(page_of(cast.device)).context["form"]
    proposed = {name: form[name].value() for name in ("life", "unit", "key")}
    client.post(page_of(cast.device), {**proposed, "cmd": "reboot"})
    command = Command.objects.get()
    assert command.params == {}
    assert command.expires_at - command.created_at == timedelta(hours=24)


def test_each_form_has_a_key_of_its_own_that_no_one_sees(cast):
    client = people.console(cast.operator)
    pages = [client.get(page_of(cast.device)).text for _ in range(2)]
    keys = [re.findall(r'<input type="hidden" name="key" value="([^"]+)"', page) for page in pages]
    assert len({uuid.UUID(key) for (key,) in keys}) == 2


def test_a_form_that_comes_twice_sends_once(cast):
    client, form = people.console(cast.operator), typed()
    answers = [client.post(page_of(cast.device), form, follow=True) for _ in range(2)]
    assert Command.objects.count() == 1
    assert answers[0].redirect_chain == answers[1].redirect_chain
    assert "Nothing was sent twice." in answers[1].text


def test_a_form_that_comes_again_with_something_else_asks_first(cast):
    client, key = people.console(cast.operator), uuid.uuid4()
    client.post(page_of(cast.device), typed(key=key))
    page = client.post(page_of(cast.device), typed(key=key, cmd="blink", params=""))
    assert "Press the button once more" in page.text
    assert Command.objects.count() == 1
    form = page.context["form"]
    client.post(page_of(cast.device), {name: form[name].value() for name in form.fields})
    assert Command.objects.first().cmd == "blink"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"cmd": ""}, "cmd", "This field is required."),
        ({"cmd": "x" * 65}, "cmd", "at most 64 characters"),
        ({"cmd": "re\u202eboot"}, "cmd", "that can be printed"),
        ({"params": '{"delay": 5'}, "params", "This is no JSON (line 1, column 12)"),
        ({"params": "[1]"}, "params", "Use an object such as"),
        ({"params": "null"}, "params", "Use an object such as"),
        ({"params": '{"a": NaN}'}, "params", "There is no NaN in JSON."),
        ({"params": r'{"a": "\u0000"}'}, "params", "not text"),
        ({"params": "[" * 100_000}, "params", "Nest no more than 60"),
        ({"params": '{"a": ' + "9" * 5_000 + "}"}, "params", "of at most 64 bits"),
        ({"params": '{"a": "' + "x" * 17_000 + '"}'}, "params", "16,384 are allowed"),
        ({"life": ""}, "life", "This field is required."),
        ({"life": "0"}, "life", "greater than or equal to 1"),
        ({"life": "1.5"}, "life", "whole number"),
        ({"life": "721"}, "life", "Choose at most 30 days."),
        ({"life": "9" * 400}, "life", "at most 30 days"),
        ({"unit": "x"}, "unit", "Select a valid choice"),
        ({"key": "x"}, "key", "Enter a valid UUID."),
    ],
)
def test_what_cannot_be_sent_is_explained_and_stays_as_it_was_typed(cast, fields, field, said):
    page = send(cast.operator, cast.device, **{"cmd": "set_interval", **fields})
    assert page.status_code == 200
    form = page.context["form"]
    assert said in str(form.errors[field][0])
    for name in ("cmd", "params"):
        assert form[name].value() == typed(**{"cmd": "set_interval", **fields})[name]
    assert not Command.objects.exists()


def test_errors_are_seen(cast):
    page = send(cast.operator, cast.device, cmd="", params="{<b>", life=0, key="x").text
    for said in ("This field is required.", "This is no JSON", "equal to 1", "valid UUID"):
        assert said in page
    assert "{&lt;b&gt;" in page


def test_every_field_refers_to_its_label_its_help_and_its_error(cast):
    page = send(cast.operator, cast.device, cmd="", params="{").text
    for name in ("cmd", "params", "life", "unit"):
        assert f'<label for="id_{name}"' in page
    ids = set(re.findall(r'\bid="(id_[a-z_]+)"', page))
    described = set(" ".join(re.findall(r'aria-describedby="([^"]*)"', page)).split())
    assert {"id_cmd_error", "id_cmd_helptext", "id_params_error"} <= described <= ids


def test_a_refusal_is_shown_at_the_form(cast, settings):
    settings.COMMAND_QUEUE = 1
    people.command(cast.device)
    page = send(cast.operator, cast.device).text
    assert "1 commands to dev-01 are open already. Wait until it has answered some" in page
    assert "reboot" in page


def test_who_sends_too_fast_is_told_so(cast, settings):
    settings.COMMAND_RATE = 1
    people.command(cast.device)
    assert "No more than 1 commands a minute" in send(cast.operator, cast.device).text


def test_a_disabled_device_has_no_form_but_a_word_why(cast):
    Device.objects.filter(pk=cast.device.pk).update(is_enabled=False)
    for page in (
        people.console(cast.operator).get(page_of(cast.device)),
        send(cast.operator, cast.device),
    ):
        assert "dev-01 is disabled. Enable it first." in page.text
        assert 'name="cmd"' not in page.text
    assert not Command.objects.exists()


def test_devices_of_others_and_deleted_ones_are_not_found(cast):
    Device.objects.filter(pk=cast.device.pk).retire()
    for device in (cast.foreign, cast.device):
        assert people.console(cast.admin).get(page_of(device)).status_code == 404
        assert send(cast.admin, device).status_code == 404
    assert not Command.objects.exists()


def test_a_viewer_sends_nothing_and_is_offered_nothing(cast):
    assert people.console(cast.viewer).get(page_of(cast.device)).status_code == 403
    assert send(cast.viewer, cast.device).status_code == 403
    assert not Command.objects.exists()
    change = reverse("admin:devices_device_change", args=[cast.device.pk])
    pages = [people.console(user).get(change).text for user in (cast.viewer, cast.operator)]
    assert [page_of(cast.device) in page for page in pages] == [False, True]


def test_who_is_not_logged_in_is_asked_to(cast, client):
    answer = client.post(page_of(cast.device), typed())
    assert answer["Location"].startswith("/admin/login/")


def test_a_page_of_another_site_sends_nothing(cast):
    client = people.console(cast.operator, enforce_csrf_checks=True)
    assert client.post(page_of(cast.device), typed()).status_code == 403
    assert not Command.objects.exists()


def test_sending_is_in_the_log_once(cast):
    client, form = people.console(cast.operator), typed()
    for _ in range(2):
        client.post(page_of(cast.device), form)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.action_flag) == (cast.operator, ADDITION)
    assert entry.get_edited_object() == Command.objects.get()
