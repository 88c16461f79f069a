"""The supervisor with small children: order, output, and every way to come to an end."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from iotplatform import supervisor
from iotplatform.supervisor import Child, ChildEndedError, StopAskedError, Supervisor
from tests.iotplatform.processes import ROOT, left_behind, wait_until

# Says its name at the start and at the end, also into a file.
POLITE = """
import signal, sys
def note(what):
    with open(sys.argv[2], "a") as diary: print(what, sys.argv[1], file=diary)
signal.signal(signal.SIGTERM, lambda *_: (note("end"), sys.exit()))
note("start")
print("ready", flush=True)
signal.pause()
"""
DEAF = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", *sys.argv[1:]])
print("ready", flush=True)
while True: signal.pause()
"""
KILLED = f"""
import os, sys
from iotplatform.supervisor import Supervisor
with Supervisor({{}}, print) as supervisor:
    command = [sys.executable, "-c", {POLITE!r}, "one", sys.argv[1]]
    with supervisor.running("one", command, lambda child: child.has_said("ready")):
        os.kill(os.getpid(), 9)
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def is_ready(child: Child) -> bool:
    return child.has_said("ready")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def boss(lines: list[str]) -> Supervisor:
    return Supervisor({"COLOUR": "green"}, lines.append)


def stop_soon(number: signal.Signals) -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()


def test_children_start_in_order_and_stop_in_reverse(boss: Supervisor, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    with (
        boss,
        boss.running("one", python(POLITE, "one", diary), is_ready),
        boss.running("two", python(POLITE, "two", diary), is_ready),
    ):
        pass
    assert diary.read_text().split("\n")[:-1] == ["start one", "start two", "end two", "end one"]


def test_every_line_carries_the_name_of_its_child(boss: Supervisor, lines: list[str]) -> None:
    boss.run("one", python("print('a'); print('b')"))
    assert lines == ["one        | a", "one        | b"]


def test_children_see_the_environment(boss: Supervisor, lines: list[str]) -> None:
    boss.run("one", python("import os; print(os.environ['COLOUR'])"))
    assert lines == ["one        | green"]


@pytest.mark.parametrize("number", supervisor.STOP_SIGNALS)
def test_a_signal_asks_for_the_stop(boss: Supervisor, number: signal.Signals) -> None:
    with boss:
        stop_soon(number)
        with pytest.raises(StopAskedError):
            boss.wait()


def test_a_signal_interrupts_the_start_as_well(boss: Supervisor, tmp_path: Path) -> None:
    command = python(POLITE, "one", tmp_path / "diary")
    with boss:
        stop_soon(signal.SIGTERM)
        with pytest.raises(StopAskedError):
            boss.running("one", command, lambda _: False).__enter__()
    assert not left_behind(tmp_path)


def test_a_child_that_ends_is_named(boss: Supervisor, tmp_path: Path) -> None:
    with (
        pytest.raises(ChildEndedError, match="“two” has ended"),
        boss,
        boss.running("one", python(POLITE, "one", tmp_path / "diary"), is_ready),
        boss.running("two", python("print('ready')"), is_ready),
    ):
        boss.wait()
    assert not left_behind(tmp_path)


def test_the_end_of_something_watched_is_named(boss: Supervisor) -> None:
    boss.watch("the broker", lambda: False)
    with pytest.raises(ChildEndedError, match="“the broker” has ended"):
        boss.wait()


def test_a_command_that_fails_stops_the_start(boss: Supervisor) -> None:
    with pytest.raises(ChildEndedError, match="“migrate” failed"):
        boss.run("migrate", python("raise SystemExit(3)"))


def test_a_child_that_never_gets_ready_is_given_up(
    boss: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "READY_SECONDS", 0.3)
    with pytest.raises(ChildEndedError, match="“one” does not become ready"):
        boss.running("one", python(POLITE, "one", tmp_path / "x"), lambda _: False).__enter__()
    assert not left_behind(tmp_path)


def test_a_deaf_child_and_its_own_child_are_killed(
    boss: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.3)
    with boss.running("deaf", python(DEAF, tmp_path), is_ready):
        assert len(left_behind(tmp_path)) == 2
    wait_until(lambda: not left_behind(tmp_path))


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    killed = subprocess.run(python(KILLED, diary), cwd=ROOT, timeout=30, check=False)
    assert killed.returncode == -signal.SIGKILL
    wait_until(lambda: not left_behind(tmp_path))
    assert diary.read_text() == "start one\nend one\n"


def test_a_terminal_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    def broken(_: str) -> None:
        raise BrokenPipeError

    boss = Supervisor({}, broken)
    with boss.running("one", python(POLITE, "one", tmp_path / "diary"), is_ready):
        assert left_behind(tmp_path)
