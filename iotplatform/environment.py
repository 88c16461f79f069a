"""How `settings.py` reads the environment, and what it could not read.

NAME_FILE in place of NAME names a file that has the value, as Docker and systemd hand out secrets.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent

environ.Env.read_env(BASE_DIR / ".env")


class Variables(FileAwareMapping):
    """The environment, and files of it without the end of line that editors leave in them."""

    def __getitem__(self, name: str) -> str:
        try:
            value: str = super().__getitem__(name)
        except (OSError, UnicodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error
        return value.rstrip("\r\n") if name in self.files_cache else value


env = environ.Env()
env.ENVIRON = Variables()

PROBLEMS: list[tuple[str, str]] = []
"""(environment variable, what is wrong with it), for `iotplatform/checks.py`."""


NO_ADDRESS = (
    "It cannot be read as an address. In user name and password, write what is no letter or digit "
    "as %xx."
)


def read(kind: Callable[..., Any], name: str, default: Any) -> Any:
    """The variable `name` as `kind` reads it; unset and empty both mean `default`."""
    try:
        return kind(name) if env.str(name, default="") else default
    except (ValueError, ImproperlyConfigured) as error:
        PROBLEMS.append((name, str(error)))
        return default


def flag(name: str) -> bool:
    """The variable `name` as yes or no; unlike env.bool it takes nothing else for a “no”."""
    value = env.str(name).strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"“{value}” is neither 1 nor 0.")


def choice(*values: str) -> Callable[[str], str]:
    """A reader of a variable that has one of a few `values`."""

    def read_choice(name: str) -> str:
        value = env.str(name).strip().lower()
        if value not in values:
            raise ValueError(f"“{value}” is none of {', '.join(values)}.")
        return value

    return read_choice


def address(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader like `kind`, of an address that may have a password: what is wrong with it is said
    without repeating it."""

    def read_address(name: str) -> Any:
        try:
            return kind(name)
        except (ValueError, ImproperlyConfigured):
            raise ValueError(NO_ADDRESS) from None

    return read_address


def log_level(name: str) -> str:
    """The variable `name` as the name of a level that logging knows."""
    level = env.str(name).upper()
    if level not in logging.getLevelNamesMapping():
        raise ValueError(f"{level} is none of {', '.join(logging.getLevelNamesMapping())}.")
    return level
