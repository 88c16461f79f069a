"""The console's page of a command, and the newest of them on the page of a device."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.admin import exact
from devices.commands.console import commands as console
from devices.commands.sending import Order, send
from devices.models import Command, CommandTransition
from tests import cast as people
from tests.devices.commands.pages import COMMANDS, FAILED, LATE, NOW, SENT, device_page, page_of
from tests.queries import queries_of


def test_a_command_is_shown_with_all_that_is_known_of_it(cast):
    result = {"interval": 30}
    command = people.command(cast.device, cast.operator, **FAILED, result=result, error="Jammed.")
    at = timezone.now()
    CommandTransition.objects.create(command=command, status="failed", at=at, detail="No power.")
    page = people.console(cast.viewer).get(page_of(command)).text
    for text in (
        str(command.id), cast.operator.email, "It was not done.", "Jammed.",
        "&quot;delay&quot;: 5\n", "&quot;interval&quot;: 30\n", "No power.",
        f"{at:%Y-%m-%d %H:%M:%S}", f"{exact(NOW)} UTC, ", f"by {cast.operator.email}",
        device_page(cast.device),
    ):  # fmt: skip
        assert text in page


def test_a_page_asks_little(cast):
    batch = people.batch(cast.t0, cast.operator)
    statements = queries_of(people.console(cast.staff), page_of(batch.commands.get()))
    # The session and the user; whether they may see it; the command; whether it can be cancelled,
    # for certain; Django's number of the model, once in a process.
    assert len(statements) <= 7
    (statement,) = [each for each in statements if "commandtransition" in each]
    # The status and the steps that led to it, of one moment.
    assert '"devices_command"."status"' in statement


def test_a_page_is_shown_anew_as_long_as_the_command_is_open(cast):
    client = people.console(cast.viewer)
    pages = [client.get(page_of(people.command(cast.device, **how))).text for how in (SENT, LATE)]
    assert ["data-live" in page for page in pages] == [True, False]


def test_the_history_tells_a_late_reply_from_the_end(cast):
    command = people.command(cast.device, **LATE)
    for detail in ("Offline.", "A late reply: ok."):
        CommandTransition.objects.create(command=command, status="expired", detail=detail)
    page = people.console(cast.viewer).get(page_of(command)).text
    steps = page[page.index("When (UTC)") :]
    words = ("Expired", "Offline.", "late reply", "A late reply: ok.")
    assert sorted(words, key=steps.index) == list(words)


def test_who_asked_from_a_terminal_is_told(cast):
    command = send(Order("reboot", {}), cast.device, None, name="terminal, alice").what
    page = people.console(cast.viewer).get(page_of(command)).text
    assert re.search(r"Who asked\s*</label>.*?>terminal, alice</div>", page, re.DOTALL)


def test_a_page_calls_the_command_what_people_called_it(cast):
    command = people.command(cast.device, cmd="rEboot", **{**FAILED, "reply": "ok"})
    page = people.console(cast.viewer).get(page_of(command)).text
    assert f"rEboot {command.id}" in page
    assert re.search(r"Reply\s*</label>.*?>ok</div>", page, re.DOTALL)


@pytest.mark.parametrize("fields", [{}, SENT, FAILED, LATE])
def test_nobody_edits_a_command(cast, fields):
    command = people.command(cast.device, **fields)
    client = people.console(cast.staff)
    assert 'name="_save"' not in client.get(page_of(command)).text
    assert client.post(page_of(command), {"cmd": "x"}).status_code == 403
    assert client.get(f"{COMMANDS}add/").status_code == 403
    delete = reverse("admin:devices_command_delete", args=[command.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert Command.objects.get() == command


def test_what_a_device_said_is_never_markup(cast):
    evil = "<script>alert(1)</script>"
    command = people.command(cast.device, error=evil, result=evil, params={evil: 1}, cmd=evil)
    CommandTransition.objects.create(command=command, status="queued", detail=evil)
    client = people.console(cast.operator)
    for address in (COMMANDS, page_of(command), device_page(cast.device)):
        assert "<script>alert" not in client.get(address).text


def test_a_long_result_and_a_long_history_are_cut(cast, monkeypatch):
    monkeypatch.setattr(console, "STEPS_SHOWN", 3)
    command = people.command(cast.device, result="x" * 100_000)
    for number in range(5):
        CommandTransition.objects.create(command=command, status="sent", detail=f"step {number}")
    page = people.console(cast.viewer).get(page_of(command))
    assert len(page.content) < 80_000
    assert re.findall(r"step \d", page.text) == ["step 2", "step 3", "step 4"]
    assert "Earlier steps are not shown." in page.text
    assert "The end is not shown." in page.text


@pytest.mark.parametrize("object_id", ["0", "nonsense", "9" * 30])
def test_a_command_that_is_not_there_is_not_found(cast, object_id):
    assert people.console(cast.staff).get(f"{COMMANDS}{object_id}/change/").status_code == 404


# On the page of a device -------------------------------------------------------------------------


def test_the_page_of_a_device_shows_its_newest_commands(cast):
    commands = [people.command(cast.device, **FAILED) for _ in range(12)]
    page = people.console(cast.viewer).get(device_page(cast.device)).text
    assert re.findall(rf"{COMMANDS}(\d+)/change/", page) == [
        str(command.pk) for command in commands[:1:-1]
    ]
    assert page.count("Failed") == 10
    assert f"{COMMANDS}?device={cast.device.pk}" in page


def test_the_page_of_a_device_without_commands_says_so(cast):
    assert "None yet." in people.console(cast.viewer).get(device_page(cast.device)).text


def test_the_newest_commands_of_a_device_are_one_statement_of_ten_rows(cast):
    for _ in range(7):
        people.command(cast.device)
    statements = queries_of(people.console(cast.operator), device_page(cast.device))
    (statement,) = [each for each in statements if "devices_command" in each]
    assert "LIMIT 10" in statement
