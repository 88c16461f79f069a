"""The ground for every test: a database, and a plain word about what cannot run on this machine."""

import contextlib
import fcntl
import itertools
import os
import shutil
from pathlib import Path

import django
import pytest
from django.db import connection

from iotplatform import embedded
from tests import template

ROOT = Path(__file__).resolve().parent
LOCAL_DIR = ROOT / (os.environ.get("LOCAL_DIR") or ".local")
# Debian keeps servers where the PATH of plain users does not look.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
NEEDED = {
    "mosquitto": "apt-get install mosquitto",
    "chromium": "apt-get install chromium fonts-dejavu-core",
    "curl": "apt-get install curl",
    "g++": "apt-get install g++",
    "xgettext": "apt-get install gettext",
    "nginx": "apt-get install nginx libnginx-mod-stream",
    "prometheus": "apt-get install prometheus",
}
"""Marker, which is the name of the program as well → how to get it on Debian."""
LONG = (
    "tests/iotplatform/test_image.py",
    "tests/acceptance/",
    "tests/iotplatform/test_postgres.py",
)
"""Where tests take seconds: begun first, so that no worker is left with them at the end."""

servers = contextlib.ExitStack()


def own_database() -> str:
    """The address of a database that no other test run uses, on a server that all of them share.

    Durability is off: the data has no worth beyond the run. Tests of durability start a server of
    their own.
    """
    server = embedded.Postgres(LOCAL_DIR / "test-postgres", fsync="off", max_connections="200")
    servers.enter_context(server.running())
    template.prepare(server)
    for number in itertools.count(1):
        taken = servers.enter_context((LOCAL_DIR / f"test-run-{number}.lock").open("w"))
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return server.url_of(f"run{number}")
    raise AssertionError("unreachable")


# Or each of the processes that tests start would compile the whole platform anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# At import, so that it comes before everything that loads the settings. Workers of pytest-xdist
# inherit the environment and with it the server; each makes a test database of its own on it.
if not os.environ.get("DATABASE_URL"):
    os.environ["DATABASE_URL"] = own_database()
os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")
django.setup()
connection.settings_dict["TEST"]["TEMPLATE"] = template.name()


def missing() -> list[str]:
    return [program for program in NEEDED if not shutil.which(program, path=PATH)]


def pytest_configure() -> None:
    if os.environ.get("REQUIRE_ALL") and (programs := missing()):
        commands = "; ".join(f"“{NEEDED[program]}”" for program in programs)
        raise pytest.UsageError(f"REQUIRE_ALL is set and programs are missing. Run {commands}.")


def place(item: pytest.Item) -> int:
    """Where in LONG it is, or behind."""
    return next((n for n, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=place)
    cannot = [item for item in items if any(item.get_closest_marker(name) for name in missing())]
    if cannot:
        items[:] = [item for item in items if item not in cannot]
        config.hook.pytest_deselected(items=cannot)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for program in missing():
        terminalreporter.write_line(
            f"NOT RUN: tests that need {program}, which is not installed: {NEEDED[program]}",
            yellow=True,
        )


def pytest_unconfigure() -> None:
    servers.close()
