"""Whatever a check does, the others are made, and the report ends."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections

from iotplatform.doctor import database
from iotplatform.doctor.examination import Check, as_guest, examine
from iotplatform.doctor.finding import Finding, State, ok, problem, warning
from iotplatform.management.commands import doctor

FINE = Check("fine", lambda: [ok("fine", "All is well.")], "")
SECRET = "geheim-4711-xyzzy"


def ill(error: Exception) -> list[Finding]:
    raise error


def asked(sql: str) -> list[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
    return []


def states(*checks: Check, seconds: float = 5) -> list[tuple[str, State]]:
    return [(each.subject, each.state) for each in examine(checks, seconds)]


def test_a_check_that_hangs_is_given_up() -> None:
    ended = threading.Event()
    stuck = Check("stuck", lambda: [str(ended.wait(10))], "Look there.")
    found = list(examine([stuck, FINE], 0.05))
    ended.set()
    assert found[0] == problem("stuck", "No answer within 0.05 seconds.", "Look there.")
    assert found[1].subject == "fine"


def test_a_check_that_fails_is_a_line_of_its_own() -> None:
    wrong = Check("wrong", lambda: ill(KeyError("colour")), "Report it.")
    found = list(examine([wrong, FINE]))
    assert found[0] == problem("wrong", "KeyError: 'colour'", "Report it.")
    assert found[1].subject == "fine"


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_database_that_does_not_answer_is_asked_once(
    django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = connections.settings["default"]
    in_database = [Check(name, database.server, "", True) for name in ("first", "second", "third")]
    with silent_server() as port, django_db_blocker.unblock():
        monkeypatch.setitem(settings, "HOST", "127.0.0.1")
        monkeypatch.setitem(settings, "PORT", port)
        first, second, third = in_database
        wrong = Check("wrong", lambda: ill(KeyError("colour")), "Report it.")
        found = list(examine([first, FINE, wrong, second, third], 0.2))
    assert [each.subject for each in found] == ["first", "fine", "wrong", "not looked at"]
    assert found[0].said == "No answer within 0.2 seconds."
    assert found[3].said == "second, third."


def test_an_error_of_one_statement_keeps_no_other_from_being_made(db: None) -> None:
    wrong = f"SELECT '{SECRET}'::integer"
    checks = [Check("wrong", lambda: asked(wrong), "", True), FINE._replace(in_database=True)]
    found = list(examine(checks))
    assert [each.state for each in found] == [State.PROBLEM, State.OK]
    assert SECRET not in found[0].said


def test_checks_are_guests_in_the_database(db: None) -> None:
    with pytest.raises(DatabaseError, match="read-only"):
        as_guest(lambda: asked("DELETE FROM devices_heartbeat"))
    as_guest(lambda: asked("SELECT 1"))
    asked("DELETE FROM devices_heartbeat")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, int]]:
    """What the command says of findings, and how it ends."""

    def run(*options: str, found: list[Finding]) -> tuple[str, int]:
        monkeypatch.setattr(doctor, "CHECKS", [Check("all", lambda: found, "")])
        said = StringIO()
        try:
            call_command("doctor", *options, stdout=said)
        except SystemExit as end:
            return said.getvalue(), int(str(end.code))
        return said.getvalue(), 0

    return run


LATE = warning("clock", "It is late.", "Set it.")
AWAY = problem("broker", "It is away.", "Start it.")


@pytest.mark.parametrize(
    ("found", "options", "end"),
    [
        ([FINE.look()[0]], [], 0),
        ([LATE], [], 0),
        ([LATE], ["--strict"], 1),
        ([AWAY, LATE], [], 1),
        ([], ["--strict"], 0),
    ],
)
def test_how_it_ends_says_whether_there_is_a_problem(
    examined: Callable[..., tuple[str, int]], found: Any, options: Any, end: int
) -> None:
    assert examined(*options, found=found)[1] == end


def test_people_read_a_line_for_each_finding_and_what_to_do(
    examined: Callable[..., tuple[str, int]],
) -> None:
    said, _ = examined(found=[LATE, ok("fine", "All is well.")])
    first, advice, second, last = said.splitlines()
    assert first.split() == ["warning", "clock", "It", "is", "late."]
    assert advice.strip() == "→ Set it."
    assert second.split() == ["ok", "fine", "All", "is", "well."]
    assert last == "Problems: 0, warnings: 1."


def test_cron_reads_only_of_what_is_not_well(examined: Callable[..., tuple[str, int]]) -> None:
    fine = ok("fine", "All is well.")
    assert examined("-v0", found=[fine])[0] == ""
    said = examined("-v0", found=[fine, LATE])[0]
    assert "clock" in said
    assert "fine" not in said


def test_programs_read_one_object(examined: Callable[..., tuple[str, int]]) -> None:
    said, _ = examined("--json", found=[AWAY])
    assert json.loads(said) == {
        "findings": [
            {"subject": "broker", "state": "problem", "said": "It is away.", "advice": "Start it."}
        ],
        "problems": 1,
        "warnings": 0,
    }
