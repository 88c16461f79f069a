"""`manage.py send_command`: what it prints, and how it ends."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from devices.commands import following, outbox
from devices.commands.cancelling import cancel
from devices.commands.outbox import Outcome, Result
from devices.commands.replies import Reply, record
from devices.management.commands import send_command
from devices.models import Command, CommandTransition, Device
from tests import cast as people

ROOT = Path(__file__).resolve().parents[3]


def send(*arguments):
    """The lines it prints."""
    out = StringIO()
    call_command("send_command", *arguments, stdout=out)
    return out.getvalue().splitlines()


def refusal(*arguments):
    with pytest.raises(CommandError) as caught:
        send(*arguments)
    return caught.value


@pytest.fixture(autouse=True)
def alice(monkeypatch):
    """Who is at the terminal."""
    monkeypatch.setattr(send_command, "get_system_username", lambda: "alice")


@pytest.fixture
def meanwhile(monkeypatch):
    """Each of its functions happens in one of the pauses of whoever watches the only command."""

    def happens(*events):
        remaining = list(events)
        clock = SimpleNamespace(monotonic=lambda: 0 if remaining else 1_000)
        clock.sleep = lambda _: remaining.pop(0)(Command.objects.get())
        monkeypatch.setattr(following, "time", clock)

    return happens


def dispatched(_):
    (claim,) = outbox.turn([], 10).claims
    outbox.turn([Outcome(claim, Result.TAKEN)], 0)


def replied(status, result=None, error=""):
    def happen(command):
        reply = Reply(command.device_id, command.id, status, result, error, timezone.now())
        with connection.cursor() as cursor:
            record(cursor, [reply])

    return happen


def expired(command):
    Command.objects.update(created_at="2026-01-01T00:00Z", expires_at="2026-01-02T00:00Z")
    outbox.turn([], 0)


def steps(lines):
    """What follows the time in lines such as “12:00:00.000 UTC  acknowledged  progress”."""
    return [line.split(" UTC  ")[1].split(maxsplit=1) for line in lines if " UTC  " in line]


def test_a_command_is_queued_in_nobodys_name_and_its_id_printed(cast):
    (line,) = send("dev-01", "reboot")
    command = Command.objects.get()
    assert line == f"reboot to dev-01: {command.id}"
    assert (command.params, command.issued_by, command.status) == ({}, None, "queued")


@pytest.mark.parametrize(
    ("user", "name"),
    [("alice", "terminal, alice"), ("", "terminal"), ("x" * 300, f"terminal, {'x' * 100}")],
)
def test_its_history_says_who_was_at_the_terminal(cast, monkeypatch, user, name):
    monkeypatch.setattr(send_command, "get_system_username", lambda: user)
    send("dev-01", "reboot")
    assert CommandTransition.objects.get().by == name


def test_params_are_json_or_else_text(cast):
    values = [
        "delay=5",
        "force=true",
        "why=no reason",
        'at={"h": 3}',
        "a.b=1=2",
        'x="NaN"',
        "empty=",
    ]
    send("dev-01", "reboot", *(f"--param={value}" for value in values))
    assert Command.objects.get().params == {
        "delay": 5,
        "force": True,
        "why": "no reason",
        "at": {"h": 3},
        "a.b": "1=2",
        "x": "NaN",
        "empty": "",
    }


def test_params_can_be_given_as_one_object(cast):
    send("dev-01", "reboot", "--params", '{"delay": {"seconds": 5}}')
    assert Command.objects.get().params == {"delay": {"seconds": 5}}


def test_a_command_lives_as_long_as_it_is_told(cast):
    send("dev-01", "reboot", "--expires-in=90.5")
    command = Command.objects.get()
    assert (command.expires_at - command.created_at).total_seconds() == 90.5


def test_each_step_is_printed_once_and_the_result_at_the_end(cast, meanwhile):
    meanwhile(
        dispatched,
        lambda _: None,
        replied("accepted"),
        replied("ok", {"unit": "giây"}),
    )
    lines = send("dev-01", "set_interval", "--wait=10")
    assert steps(lines) == [
        ["queued", "terminal, alice"],
        ["sent"],
        ["acknowledged", "accepted"],
        ["succeeded"],
    ]
    assert lines[-1] == '{"unit": "giây"}'


def test_steps_that_came_at_once_are_printed_in_order(cast, meanwhile):
    meanwhile(lambda command: (dispatched(command), replied("progress")(command)), replied("ok"))
    lines = send("dev-01", "reboot", "--wait=10")
    assert steps(lines)[1:] == [["sent"], ["acknowledged", "progress"], ["succeeded"]]


def test_what_the_device_cannot_do_ends_with_2_and_its_words(cast, meanwhile):
    meanwhile(dispatched, replied("error", error="Unknown command."))
    error = refusal("dev-01", "dance", "--wait=10")
    assert (error.returncode, str(error)) == (2, "Unknown command.")


def test_an_expired_command_ends_with_3(cast, meanwhile):
    meanwhile(expired)
    error = refusal("dev-01", "reboot", "--wait=10")
    assert error.returncode == 3
    assert str(error) == "It has expired. The device did not answer in time."


def test_a_command_that_was_begun_with_and_expired_says_so(cast, meanwhile):
    meanwhile(dispatched, replied("accepted"), expired)
    assert "The device began" in str(refusal("dev-01", "reboot", "--wait=10"))


def test_a_cancelled_command_ends_with_3(cast, meanwhile):
    meanwhile(lambda _: cancel(Command.objects.all(), cast.operator))
    error = refusal("dev-01", "reboot", "--wait=10")
    assert (error.returncode, str(error)) == (3, "It was cancelled.")


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([lambda _: None], "It is queued and not over yet. No dispatcher has taken it."),
        ([dispatched], "It is sent and not over yet. The broker has it"),
        ([dispatched, replied("accepted")], "It is acknowledged and not over yet. The device has"),
        (
            [lambda _: Command.objects.update(claimed_at=timezone.now())],
            "It is queued and not over yet. It is on its way to the broker.",
        ),
        (
            [lambda _: Command.objects.update(reason="The device is offline.")],
            "It is queued and not over yet. The device is offline. It stays open until 20",
        ),
    ],
)
def test_a_command_that_is_open_after_the_wait_ends_with_4_and_says_why(
    cast, meanwhile, events, said
):
    meanwhile(*events)
    error = refusal("dev-01", "reboot", "--wait=10")
    assert error.returncode == 4
    assert str(error).startswith(said)
    assert Command.objects.get().finished_at is None


def test_who_stops_watching_is_told_how_far_it_is(cast, meanwhile):
    def interrupted(_):
        raise KeyboardInterrupt

    meanwhile(dispatched, interrupted)
    error = refusal("dev-01", "reboot", "--wait=10")
    assert (error.returncode, str(error)[:10]) == (4, "It is sent")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_goes_away_meanwhile_ends_only_the_watching(cast, meanwhile, error):
    def lost(_):
        raise error("the connection is lost")

    meanwhile(dispatched, lost)
    said = refusal("dev-01", "reboot", "--wait=10")
    assert (said.returncode, Command.objects.get().status) == (4, "sent")
    assert str(said).startswith("The database is away: the connection is lost\nThe command stays")


def test_who_cancelled_it_is_said(cast, meanwhile):
    meanwhile(lambda _: cancel(Command.objects.all(), cast.operator))
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("send_command", "dev-01", "reboot", "--wait=10", stdout=out)
    assert steps(out.getvalue().splitlines())[-1] == ["cancelled", cast.operator.email]


def test_a_wait_of_no_time_is_one_look(cast):
    assert str(refusal("dev-01", "reboot", "--wait=0")).startswith("It is queued")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dev-99", "reboot"], "There is no device “dev-99”"),
        (["dev-01", ""], "cmd: Use 1 to 64 characters."),
        (["dev-01", "x" * 65], "cmd: Use 1 to 64 characters."),
        (["dev-01", "re\nboot"], "cmd: Use letters, digits and signs that can be printed."),
        (["dev-01", " "], "cmd: Say what the device shall do"),
        (["dev-01", "reboot", "--params", '{"a": "\\u0000"}'], "params: Remove the characters"),
        (["dev-01", "reboot", "--params", '{"a": 1e-31}'], "params: Use numbers between"),
        (["dev-01", "reboot", "--params", "[1]"], 'write an object such as {"delay": 5}'),
        (["dev-01", "reboot", "--params", '{"a": NaN}'], "--params: There is no NaN in JSON."),
        (["dev-01", "reboot", "--params", "[" * 100_000], "--params: Nest no more than"),
        (["dev-01", "reboot", "--params", "{"], "--params: This is no JSON"),
        (["dev-01", "reboot", "--params={}", "--param=a=1"], "not allowed with argument"),
        (["dev-01", "reboot", "--param=delay"], "write KEY=VALUE, unlike “delay”"),
        (["dev-01", "reboot", "--param=a=NaN"], "If it is a text, put it in quotes: 'a=\"…\"'"),
        (["dev-01", "reboot", f"--param=a={10**30}"], "a: Use whole numbers of at most 64 bits."),
        (["dev-01", "reboot", "--param=a=1", "--param=a=2"], "--param: “a” is given 2 times."),
        (["dev-01", "reboot", f"--param=a={'x' * 20_000}"], "params: The command has 20,"),
        (["dev-01", "reboot", "--expires-in=0"], "--expires-in: use a number of seconds from 1 to"),
        (["dev-01", "reboot", "--expires-in=nan"], "from 1 to 2592000, which is 30 days"),
        (["dev-01", "reboot", "--expires-in=abc"], "which is 30 days, unlike “abc”"),
        (["dev-01", "reboot", "--wait=-1"], "--wait: use a number of seconds, 0 or more"),
        (["dev-01", "reboot", "--wait=nan"], "0 or more, unlike “nan”"),
        (["dev-01", "reboot", "--wait=soon"], "0 or more, unlike “soon”"),
    ],
)
def test_what_cannot_be_sent_ends_with_1_and_says_why(cast, arguments, said):
    error = refusal(*arguments)
    assert said in str(error)
    assert error.returncode == 1
    assert not Command.objects.exists()


def test_a_disabled_device_is_refused(cast):
    cast.device.is_enabled = False
    cast.device.save()
    assert str(refusal("dev-01", "reboot")) == "dev-01 is disabled. Enable it first."


def test_a_deleted_device_is_unknown(cast):
    Device.objects.retire()
    assert "There is no device" in str(refusal("dev-01", "reboot"))


def test_a_full_queue_is_refused(cast, settings):
    settings.COMMAND_QUEUE = 1
    send("dev-01", "reboot")
    assert "1 commands to dev-01 are open already" in str(refusal("dev-01", "reboot"))


def test_too_many_in_a_minute_are_refused(cast, settings):
    settings.COMMAND_RATE = 1
    send("dev-01", "reboot")
    assert "No more than 1 commands a minute" in str(refusal("dev-01", "reboot"))


def test_in_a_shell_a_wrong_argument_ends_with_1_as_2_means_a_failed_device():
    command = [sys.executable, "manage.py", "send_command", "dev-01", "reboot", "--wait=soon"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: manage.py send_command")
    assert "--wait" in done.stderr.splitlines()[-1]


def test_help_names_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        call_command("send_command", "--help")
    help_ = " ".join(capsys.readouterr().out.split())
    for code in ("Ends with 0 when", "1 when it was refused", "2 when", "3 when", "4 when"):
        assert code in help_


def test_following_leaves_the_command_as_it_was_found_last(cast, meanwhile):
    command = people.command(cast.device)
    meanwhile(dispatched, replied("ok"))
    seen = [step.status for step in following.follow(command, 10)]
    assert seen == ["queued", "sent", "succeeded"]
    assert command.status == "succeeded"
