"""What the log looks like: lines for people, or with LOG_FORMAT=json objects for machines.

Neither has what must not be in a log: variables of functions that failed, settings, what libraries
add to a record, and what the database says of rows that it did not take. Nor can a text from
outside pass for a line of ours, or speak to the terminal that shows it.
"""

import contextlib
import copy
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import psycopg
import structlog
from django.db import utils

logger = logging.getLogger(__name__)

FIELDS = ("status_code", "address", "rule", "notice", "counts")
"""What of `extra` is shown, as fields of a JSON object. All else stays out: Django has the request
there, and statements with their values."""

DATABASE_ERRORS = (psycopg.Error, utils.Error)
BAD_VALUE = "22"
"""The class of SQLSTATEs whose messages end with the value."""
PARTICULARS = re.compile(r"\n(?:DETAIL|CONTEXT|QUERY|LINE \d+):.*", re.DOTALL)
"""What follows the first line of a database error that has become a text."""


def discreet(error: BaseException) -> str:
    """What a database error says, without the row or the statement that it is about."""
    first, *_ = str(error).splitlines() or [""]
    sqlstate = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None) or ""
    return first.partition(': "')[0] if sqlstate.startswith(BAD_VALUE) else first


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, those that led to it, and those that it is a group of."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", ()) or ())]


def replacements(error: BaseException | None) -> dict[str, str]:
    """What is to be said in place of what the database errors among `chain(error)` say."""
    return {str(each): discreet(each) for each in chain(error) if isinstance(each, DATABASE_ERRORS)}


def without_particulars(text: str, instead: Mapping[str, str] = MappingProxyType({})) -> str:
    """A text of which the first line of a database error, or what is said `instead`, is left."""
    return instead.get(text) or PARTICULARS.sub("", text)


class Handler(logging.StreamHandler):
    """Has records say of the database errors that they are about only what is discreet."""

    def emit(self, record: logging.LogRecord) -> None:
        careful = copy.copy(record)
        careful.msg = _without_data(record.msg)
        if isinstance(record.args, Mapping):
            careful.args = {name: _without_data(each) for name, each in record.args.items()}
        elif isinstance(record.args, tuple):
            careful.args = tuple(map(_without_data, record.args))
        # Where others keep what they made of the error.
        careful.exc_text = None
        super().emit(careful)

    def handleError(self, record: logging.LogRecord) -> None:
        # Its own way prints the record as it is.
        kind = type(sys.exception()).__name__
        place = f"{record.name} ({record.pathname}:{record.lineno})"
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"What {place} has to say cannot be logged: {kind}.\n")


def _without_data(argument: object) -> object:
    if isinstance(argument, DATABASE_ERRORS):
        return type(argument)(discreet(argument))
    return without_particulars(argument) if isinstance(argument, str) else argument


def printable(text: str) -> str:
    """The text in one line, with escapes in place of what moves the cursor or is not seen."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Lines(logging.Formatter):
    """A line for each record, and below it the traceback of an error."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        told = traceback.TracebackException(*ei)
        instead = replacements(ei[1])
        for each in chain(told):  # type: ignore[arg-type]  # it has the same members
            # No public way leads to the text alone; with others the traceback would be our own.
            said = without_particulars(each._str, instead)  # type: ignore[attr-defined]
            each._str = printable(said)  # type: ignore[attr-defined]
        return "".join(told.format()).rstrip("\n")


_transformed = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def as_list(exc_info: Any) -> list[dict[str, Any]]:
    """An error and those that led to it, each with its frames."""
    told = _transformed(exc_info)
    instead = replacements(exc_info[1])
    waiting = [*told]
    while waiting:
        each = waiting.pop()
        each["exc_value"] = without_particulars(each["exc_value"], instead)
        waiting += [part for group in each["exceptions"] for part in group]
    return told


def as_json(event: dict[str, Any], **_: Any) -> str:
    """One line. Of what JSON has no word for, the representation."""
    try:
        return json.dumps(event, default=repr, allow_nan=False)
    except (TypeError, ValueError):
        # Keys that are no texts, infinite numbers, circles: found only on the way.
        return json.dumps(
            {
                name: each if isinstance(each, str | int) else repr(each)
                for name, each in event.items()
            }
        )


def program() -> str:
    """Which of the platform's programs this is: “run_ingestor”, “gunicorn”."""
    first, *rest = sys.argv or [""]
    path = Path(first)
    if path.name == "__main__.py":
        # As in “python -m gunicorn”.
        return path.parent.name
    return rest[0] if path.name == "manage.py" and rest else path.name


def add_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["process"], event["pid"] = program(), event["_record"].process
    return event


JSON = {
    "()": structlog.stdlib.ProcessorFormatter,
    "foreign_pre_chain": [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_process,
        structlog.stdlib.ExtraAdder(FIELDS),
        structlog.processors.ExceptionRenderer(as_list),
    ],
    "processors": [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(as_json),
    ],
}
LINES = {
    "()": Lines,
    "fmt": "{asctime} {levelname} {name}: {message}",
    "style": "{",
}
FORMATS = {"line": LINES, "json": JSON}


def is_news(record: logging.LogRecord) -> bool:
    """Not that the platform is not ready: whoever asks is told, and asks again and again."""
    path = getattr(getattr(record, "request", None), "path_info", None)
    return (path, getattr(record, "status_code", None)) != ("/readyz", 503)


def configuration(level: str, form: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: all from `level` up to the standard error, in one `form`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": FORMATS[form]},
        "filters": {
            "news": {"()": "django.utils.log.CallbackFilter", "callback": is_news},
        },
        "handlers": {"console": {"()": Handler, "formatter": "chosen"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # In place of Django's own handlers, of which one would send the settings by e-mail.
            # What it says for its developers has statements with their values.
            "django": {"level": "INFO" if level in ("DEBUG", "NOTSET") else level},
            "django.request": {"filters": ["news"]},
            "django.server": {"propagate": True},
        },
    }


def log_last_errors() -> None:
    """Have errors that end the process or a thread logged like all others, not just printed."""
    sys.excepthook = _log_last_error
    threading.excepthook = _log_last_error_of_thread


def _log_last_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("%s ends by an error.", program(), exc_info=(kind, error, trace))


def _log_last_error_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value and not isinstance(ended.exc_value, SystemExit):
        logger.critical("A thread ends by an error.", exc_info=ended.exc_value)
