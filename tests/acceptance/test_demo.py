"""`manage.py demo` as a process: what it brings up, and that it takes all of it down again."""

import contextlib
import http.cookiejar
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from iotplatform.embedded import Postgres
from tests.iotplatform.processes import ROOT, environment, left_behind, manage, wait_until
from tests.servers import Mosquitto, free_pair, free_port

START_SECONDS = 90
STOP_SECONDS = 60

HEARD = "SELECT count(*) FROM devices_devicestate WHERE data_at IS NOT NULL"
READINGS = """
SELECT payload FROM telemetry_telemetry reading JOIN devices_device device
ON device.id = reading.device_id WHERE device_uid = 'my-sensor'
"""


class Demo:
    """The demo on ports and in a directory of its own; its output is in `lines`."""

    def __init__(self, directory: Path, *options: str, **variables: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.mqtt_port = free_pair()
        self.database = Postgres(directory / "postgres").url
        self.lines: list[str] = []
        self.process: subprocess.Popen[str]
        self._options = options
        self._variables = variables

    def environment(self) -> dict[str, str]:
        ports = {"PORT": str(self.port), "MQTT__PORT": str(self.mqtt_port)}
        return environment(LOCAL_DIR=str(self.directory), **{**ports, **self._variables})

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """From the moment when it says that it is up."""
        self.lines.clear()
        with subprocess.Popen(
            [sys.executable, "manage.py", "demo", *self._options],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as self.process:
            reader = threading.Thread(target=self._read)
            reader.start()
            try:
                wait_until(lambda: "platform is up" in self.output or self.ended, START_SECONDS)
                assert not self.ended, self.output
                yield
            finally:
                self.process.terminate()
                self.process.wait(STOP_SECONDS)
                reader.join()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def command(self, beginning: str) -> str:
        """What it proposes to paste."""
        return self.commands(beginning)[0]

    def commands(self, beginning: str) -> list[str]:
        """All that it proposes to paste; a line that is indented further goes on with the last."""
        found = re.findall(rf"^  ((?:{beginning}).*(?:\n   .*)*)$", self.output, re.MULTILINE)
        assert found, self.output
        return found

    def query(self, statement: str) -> list[Any]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement).fetchall()

    def victim(self, name: str) -> psutil.Process:
        """The first of its processes with `name` in the command line."""
        numbers = [int(line.split()[0]) for line in left_behind(self.directory) if name in line]
        return psutil.Process(min(numbers))

    def logs_in(self, email: str, password: str) -> bool:
        """Whether the console opens for this person."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
        )
        login = f"http://127.0.0.1:{self.port}/admin/login/?next=/admin/"
        browser.open(login, timeout=30).close()
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"username": email, "password": password, "csrfmiddlewaretoken": token}
        with browser.open(login, urllib.parse.urlencode(form).encode(), timeout=30) as page:
            return "/login/" not in str(page.url)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the second demo finds what the first left."""
    return tmp_path_factory.mktemp("demo")


def test_the_proposed_commands_work_and_their_readings_stay(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    with demo.running():
        done = subprocess.run(demo.command(sys.executable), shell=True, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        wait_until(lambda: demo.query(READINGS) == [({"temperature": 21.5},)])
        wait_until(lambda: demo.query("SELECT count(*) FROM devices_device") == [(6,)])
        sending = demo.command(f"{sys.executable} .*manage.py send_command")
        done = subprocess.run(sending, shell=True, capture_output=True, env=demo.environment())
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"succeeded" in done.stdout
        assert demo.stop(signal.SIGINT) == 0
    assert demo.lines[-1] == "All stopped.\n"
    assert not left_behind(tmp_path)

    with demo.running():
        assert demo.query(READINGS) == [({"temperature": 21.5},)]
        assert demo.query("SELECT count(*) FROM accounts_user") == [(3,)]
        assert demo.stop(signal.SIGTERM) == 0
    assert not left_behind(tmp_path)


@pytest.mark.mosquitto
def test_the_command_for_mosquitto_pub_works(used: Path) -> None:
    demo = Demo(used)
    with demo.running():
        before = len(demo.query(READINGS))
        subprocess.run(demo.command("mosquitto_pub"), shell=True, check=True)
        wait_until(lambda: len(demo.query(READINGS)) == before + 1)


@pytest.mark.mosquitto
@pytest.mark.curl
def test_the_secure_demo_admits_who_shows_a_token_and_nobody_else(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--secure")
    with demo.running():
        first, *wrong = demo.commands("mosquitto_pub")
        assert run(first).returncode == 0
        wait_until(lambda: demo.query(READINGS) == [({"temperature": 21.5},)])
        assert all(b"ot authori" in run(command).stderr for command in wrong)
        wait_until(lambda: demo.query(HEARD) == [(6,)])
        run("".join(f"{command}\n" for command in demo.commands("TOKEN|curl")))
        wait_until(lambda: "dev-02: the broker refuses it" in demo.output)
        assert not list(tmp_path.glob("tokens-*"))
        assert demo.stop(signal.SIGINT) == 0
    assert not left_behind(tmp_path)

    with demo.running():
        assert b"ot authori" in run(first).stderr
        assert run(demo.command("mosquitto_pub")).returncode == 0
        wait_until(lambda: len(demo.query(READINGS)) == 2)
        assert demo.stop(signal.SIGTERM) == 0
    assert not left_behind(tmp_path)


def run(command: str) -> subprocess.CompletedProcess[bytes]:
    """What somebody sees who pastes it."""
    return subprocess.run(command, shell=True, capture_output=True, timeout=30, check=False)


def test_the_demo_logins_open_the_console(used: Path) -> None:
    demo = Demo(used)
    with demo.running():
        for email in ("admin@example.com", "operator@example.com", "viewer@example.com"):
            assert email in demo.output
            assert demo.logs_in(email, "demo")
        assert not demo.logs_in("admin@example.com", "guess")


# Ingestor, dispatcher and simulator are begun and watched as gunicorn is, by one method of `Demo`;
# what a supervisor does about any of them is in tests/iotplatform/test_supervisor.py.
@pytest.mark.parametrize("name", ["gunicorn", "iotcore._serve", "bin/postgres"])
def test_when_one_part_dies_all_of_it_ends(used: Path, name: str) -> None:
    demo = Demo(used)
    with demo.running():
        demo.victim(name).kill()
        assert demo.process.wait(STOP_SECONDS) == 1
    assert "has ended by itself" in demo.output
    assert not left_behind(used)


def test_a_killed_demo_leaves_nothing_behind(used: Path) -> None:
    demo = Demo(used)
    with demo.running():
        demo.stop(signal.SIGKILL)
    wait_until(lambda: not left_behind(used))


@pytest.mark.parametrize("variable", ["PORT", "MQTT__PORT"])
def test_a_taken_port_stops_it_before_anything_starts(tmp_path: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        variables = {"PORT": str(free_port()), "MQTT__PORT": str(free_pair())}
        variables[variable] = str(holder.getsockname()[1])
        done = manage("demo", LOCAL_DIR=str(tmp_path), **variables)
    assert done.returncode == 1
    assert f"variable {variable}," in done.stdout
    assert not (tmp_path / "postgres").exists()


def test_a_configured_database_gets_demo_accounts_only_on_request() -> None:
    done = manage("demo", DATABASE_URL="postgresql://user:password@db.example.com/iot")
    assert done.returncode == 1
    assert "set DEBUG=1" in done.stdout


@pytest.mark.mosquitto
def test_a_configured_broker_and_database_are_used(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "own")
    with Mosquitto(tmp_path) as broker, server.running():
        demo = Demo(
            tmp_path / "local",
            DEBUG="1",
            LOG_LEVEL="ERROR",
            DATABASE_URL=server.url,
            MQTT__HOST=broker.host,
            MQTT__PORT=str(broker.port),
        )
        demo.database = server.url
        with demo.running():
            wait_until(lambda: demo.query("SELECT count(*) FROM devices_device") == [(5,)])
            assert not left_behind(tmp_path / "local" / "postgres")
