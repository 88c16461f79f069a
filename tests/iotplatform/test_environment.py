"""Values come from variables, or from files that variables name."""

from pathlib import Path
from typing import Any

import pytest

from iotplatform import environment
from iotplatform.environment import Variables, address, choice, env, flag, read
from tests.iotplatform.processes import manage

SECRET = "geheim-4711-xyzzy"


@pytest.fixture(autouse=True)
def problems(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What could not be read in this test."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(environment, "PROBLEMS", found)
    # It keeps what it read from files.
    monkeypatch.setattr(env, "ENVIRON", Variables())
    for name in ("VALUE", "VALUE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Has VALUE come from a file with these bytes."""

    def write(content: bytes) -> None:
        file = tmp_path / "value"
        file.write_bytes(content)
        monkeypatch.setenv("VALUE_FILE", str(file))

    return write


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_a_file_has_the_value_without_its_end_of_line(value: Any, end: bytes) -> None:
    value(b" two words " + end)
    assert read(env.str, "VALUE", "") == " two words "
    assert read(env.str, "VALUE", "") == " two words "


def test_a_file_beats_the_variable(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUE", "1")
    assert read(env.int, "VALUE", 0) == 1
    value(b"2\n")
    assert read(env.int, "VALUE", 0) == 2


def test_an_empty_file_and_an_empty_variable_are_the_default(value: Any) -> None:
    value(b"\n")
    assert read(env.int, "VALUE", 7) == 7


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_noted_and_named(
    content: bytes | None, value: Any, problems: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        value(content)
    else:
        monkeypatch.setenv("VALUE_FILE", "/nowhere/value")
    assert read(env.str, "VALUE", "default") == "default"
    ((name, problem),) = problems
    assert name == "VALUE"
    assert problem.startswith("VALUE_FILE cannot be read: ")


def test_what_cannot_be_read_is_noted_with_what_could(
    problems: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", "perhaps")
    assert read(flag, "VALUE", False) is False
    assert read(choice("line", "json"), "VALUE", "line") == "line"
    assert [problem for _, problem in problems] == [
        "“perhaps” is neither 1 nor 0.",
        "“perhaps” is none of line, json.",
    ]


def test_an_address_is_not_repeated_for_it_has_a_password(
    problems: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", f"smtp+tls://user:{SECRET}/x@host:587")
    assert read(address(env.email_url), "VALUE", {}) == {}
    assert "%xx" in problems[0][1]
    assert SECRET not in problems[0][1]


def test_check_says_what_is_wrong_and_no_secret() -> None:
    done = manage(
        "check",
        DATABASE_URL=f"postgresql://user:{SECRET}/x@db.example.com/iot",
        EMAIL_URL=f"smtp://user:{SECRET}/x@mail.example.com",
        JWT_SECRET_FILE="/nowhere/jwt",
    )
    assert done.returncode == 1
    for name in ("DATABASE_URL", "EMAIL_URL", "JWT_SECRET"):
        assert f"E001) {name}: " in done.stdout
    assert "Traceback" not in done.stdout
    assert SECRET not in done.stdout
