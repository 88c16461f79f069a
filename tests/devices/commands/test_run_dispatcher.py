"""`manage.py run_dispatcher` as a process: that it does its work, and every way to end it."""

import os
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import connection

from iotplatform.embedded import Broker
from tests import cast as people
from tests.iotplatform.processes import ROOT, environment, manage, wait_until
from tests.servers import free_pair


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"), free_pair(), max_packet=2**20)
    with broker.running():
        yield broker


@pytest.fixture
def variables(transactional_db, broker):
    """The configuration of a process that works on this test's database."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return {"DATABASE_URL": url.geturl(), "MQTT__PORT": str(broker.port), "DEBUG": "1"}


@contextmanager
def running(log, variables):
    """A dispatcher that is connected; what it says is in the file `log`."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "manage.py", "run_dispatcher"],
            cwd=ROOT,
            env=environment(**variables),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until(lambda: "Connected to the broker" in log.read_text())
            yield process
        finally:
            process.kill()


def status(command):
    command.refresh_from_db()
    return command.status


def test_sigterm_ends_it_in_order_with_its_outcomes_recorded(variables, tmp_path):
    log = tmp_path / "log"
    with running(log, variables) as process:
        command = people.command(people.cast().device)
        wait_until(lambda: status(command) != "queued" or command.claimed_at)
        process.terminate()
        assert process.wait(10) == 0
    assert status(command) == "sent"
    assert "published=1 taken=1" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_drain_publishes_what_is_due_and_exits(variables):
    command = people.command(people.cast().device)
    done = manage("run_dispatcher", "--drain", **variables)
    assert done.returncode == 0, done.stdout
    assert status(command) == "sent"


def test_several_dispatchers_run_at_a_time(variables, tmp_path):
    dev = people.cast().device
    with running(tmp_path / "one", variables), running(tmp_path / "two", variables):
        commands = [people.command(dev) for _ in range(5)]
        wait_until(lambda: all(status(command) == "sent" for command in commands))
    said = [(tmp_path / name).read_text() for name in ("one", "two")]
    assert not [text for text in said if "No connection" in text]
