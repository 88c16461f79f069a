"""What a look at something finds."""

from enum import StrEnum
from typing import Any, NamedTuple


class State(StrEnum):
    """How grave it is: a problem costs data or work, now or soon; a warning may."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One line of the report. `advice` says what to do next, where all is not well."""

    subject: str
    state: State
    said: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "state": str(self.state)}


def ok(subject: str, said: str) -> Finding:
    return Finding(subject, State.OK, said)


def warning(subject: str, said: str, advice: str) -> Finding:
    return Finding(subject, State.WARNING, said, advice)


def problem(subject: str, said: str, advice: str) -> Finding:
    return Finding(subject, State.PROBLEM, said, advice)
