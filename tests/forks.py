"""Processes of the platform, forked from one that has loaded the libraries: a third of a start.

What is theirs and ours is not loaded before the fork, so each begins with its own environment, in
manage.py, like one from a shell. Its end is like any other, too.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Those that take long to load, and do not ask for settings when they do.
LIBRARIES = [
    "django.contrib.admin.options",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django_filters.rest_framework",
    "drf_spectacular.utils",
    "environ",
    "mqtt5",
    "orjson",
    "paho.mqtt.client",
    "rest_framework.compat",
    "rest_framework.serializers",
]

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([*LIBRARIES, __name__])


def fork(log: Path, environment: dict[str, str], *command: str) -> BaseProcess:
    """`python COMMAND` at the root of the project, what it says at the end of `log`."""
    log.touch()
    process = forks.Process(target=become, args=(log, environment, command), daemon=True)
    process.start()
    return process


def become(log: Path, environment: dict[str, str], command: tuple[str, ...]) -> None:
    """In the fork: be this command."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    try:
        run(*command)
    except Exception:
        # As an interpreter ends; multiprocessing would print it in its own way.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        # multiprocessing leaves without.
        atexit._run_exitfuncs()


def run(first: str, *others: str) -> None:
    if first == "-m":
        sys.argv = [*others]
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *others]
        runpy.run_path(first, run_name="__main__")
