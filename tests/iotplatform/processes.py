"""Processes of the platform for tests, and a look at what they leave behind."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.forks import fork

ROOT = Path(__file__).resolve().parents[2]

SECONDS = 60

# Empty means unset, and beats what a developer keeps in `.env`.
UNSET = dict.fromkeys(
    (
        *("DATABASE_URL", "SECRET_KEY", "JWT_SECRET", "DEBUG", "ALLOWED_HOSTS", "AUTH_DEMO"),
        *("MQTT__HOST", "MQTT__PORT", "MQTT__TOPIC", "MQTT__TLS", "MQTT__CA", "MQTT__USERNAME"),
        *("MAX_PAYLOAD", "DEDUPE_DAYS", "HISTORY_DAYS", "LOG_LEVEL", "LOCAL_DIR", "BIND", "PORT"),
        *("MAX_COMMAND", "COMMAND_QUEUE", "COMMAND_RATE", "ENROLMENT", "AUTO_REGISTER"),
        *("MQTT__ACCESS", "MQTT__PASSWORD", "MQTT__INGEST_PASSWORD", "MQTT__DISPATCH_PASSWORD"),
    ),
    "",
)


def environment(**variables: str) -> dict[str, str]:
    """Ours without any configuration, and with `variables`."""
    return {**os.environ, **UNSET, **variables}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` with `variables` as its only configuration."""
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory) / "said"
        process = fork(said, environment(**variables), "manage.py", *arguments)
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"Still running after {SECONDS} s:\n{said.read_text()}")
        return subprocess.CompletedProcess(arguments, process.exitcode, said.read_text())


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Returns once `condition` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def left_behind(directory: Path) -> list[str]:
    """The command lines of processes that work with `directory`, other than ours."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), process.environ().get("LOCAL_DIR", "")]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(directory) in text for text in known):
            found.append(f"{process.pid} {' '.join(known)}")
    return found
