"""The guide to the containers: its commands are executed, on servers like those of containers."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iotplatform.embedded import Broker, Postgres
from iotplatform.ports import answers
from tests.acceptance.proxy import PostgresProxy
from tests.iotplatform import compose, image
from tests.iotplatform.processes import ROOT, wait_until
from tests.iotplatform.test_checks import PRODUCTION
from tests.iotplatform.test_deployment import OF_ACCESS
from tests.servers import free_pair, free_port

GUIDE = (ROOT / "docs" / "docker.md").read_text()
PASSWORD = "s3cret"
PERSON = {"EMAIL": "you@example.com", "PASSWORD": "what you chose"}


def block(name: str) -> str:
    """The commands in the guide below the comment `name`."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert found, name
    return found[1]


@dataclass
class Stack:
    """What the containers would be: a checkout with its `.env`, a database and a broker."""

    directory: Path
    database: Postgres
    variables: dict[str, str]
    device_port: int

    def manage(self, *words: str, **variables: str) -> None:
        with self.running(sys.executable, "manage.py", *words, **variables) as process:
            assert process.wait(60) == 0

    @contextmanager
    def running(self, *words: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process in the environment of a container, which does not outlive the block."""
        environment = {**self.variables, **variables}
        with subprocess.Popen(words, cwd=self.directory, env=environment) as process:
            try:
                yield process
            finally:
                process.terminate()

    @contextmanager
    def shell(self, commands: str) -> Iterator[subprocess.Popen[str]]:
        """A person's shell in the checkout; “docker” does nothing there. Ends with the block."""
        with subprocess.Popen(
            ["bash", "-euc", commands],
            cwd=self.directory,
            env={"PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def devices_heard(self) -> int:
        """Of how many devices something is stored, after each of the five has said something."""
        port = str(self.device_port)
        self.manage("simulate_devices", "--count=1", MQTT__PORT=port, MQTT__ACCESS="open")
        with psycopg.connect(self.database.url_of("iotplatform")) as connection:
            count = "SELECT count(DISTINCT device_id) FROM telemetry_telemetry"
            row = connection.execute(count).fetchone()
            return row[0] if row else 0


def check_out(directory: Path, **changes: str) -> None:
    """The sources, a virtual environment, a “docker”, and `.env` from the example."""
    for name in ("manage.py", "accounts", "devices", "telemetry", "iotplatform", "templates"):
        image.copy(ROOT / name, directory / name)
    (directory / ".venv").symlink_to(Path(sys.executable).parent.parent)
    (directory / "bin").mkdir()
    (directory / "bin" / "docker").symlink_to("/bin/true")
    example = compose.env_file(ROOT / ".env.example") | changes
    lines = (f"{name}={value}\n" for name, value in example.items())
    (directory / ".env").write_text("".join(lines))


def make_database(server: Postgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE iotplatform LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("CREATE DATABASE iotplatform OWNER iotplatform")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tmp_path = tmp_path_factory.mktemp("checkout")
    tmp_path.chmod(0o711)
    (tmp_path / "hba").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    server = Postgres(tmp_path / "postgres", hba_file=str(tmp_path / "hba"), fsync="off")
    broker = Broker(tmp_path, free_pair(), max_packet=2**20)
    with ExitStack() as servers:
        servers.enter_context(server.running())
        make_database(server)
        proxy = servers.enter_context(PostgresProxy(server.socket_dir / ".s.PGSQL.5432"))
        servers.enter_context(broker.running())
        secrets = {name: PRODUCTION[name] for name in ("SECRET_KEY", "JWT_SECRET")}
        secrets |= {name: f"{name} of 32 bytes or more" for name in OF_ACCESS}
        ports = {"POSTGRES_PORT": str(proxy.port), "MQTT__PORT": str(broker.port + 1)}
        check_out(tmp_path, POSTGRES_PASSWORD=PASSWORD, **secrets, **ports)
        # The file is read by Compose for a container, and by manage.py as well.
        project = compose.load(compose.BASE, POSTGRES_PASSWORD=PASSWORD)
        url = project["services"]["web"]["environment"]["DATABASE_URL"]
        addresses = {
            "EMQX__API_URL": "http://127.0.0.1:18083/api/v5",
            "DATABASE_URL": url.replace("postgres:5432", f"127.0.0.1:{proxy.port}"),
            "MQTT__HOST": "127.0.0.1",
        }
        variables = {"PATH": os.environ["PATH"], **addresses}
        yield Stack(tmp_path, server, variables, broker.port)


@pytest.fixture(scope="module")
def web(stack: Stack) -> Iterator[str]:
    """The address of the web server, with the accounts of the demo."""
    stack.manage("migrate", "--verbosity=0")
    stack.manage("make_demo_users", DEBUG="1")
    port = free_port()
    gunicorn = (sys.executable, "-m", "gunicorn", "iotplatform.wsgi", "--no-control-socket")
    with stack.running(*gunicorn, "--bind", f"127.0.0.1:{port}") as process:
        wait_until(lambda: answers("127.0.0.1", port) or process.poll() is not None)
        yield f"http://127.0.0.1:{port}"


def documents(text: str) -> Iterator[Any]:
    """The JSON documents that stand in `text` one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        yield document


@pytest.mark.curl
def test_the_quick_check_finds_what_the_ingestor_outside_docker_stored(
    stack: Stack, web: str
) -> None:
    with stack.shell(block("ingestor, bash")):
        # Nobody keeps what is published before it has subscribed.
        wait_until(lambda: stack.devices_heard() == 5)
    with stack.shell(block("quick check, bash").replace("http://127.0.0.1:8000", web)) as person:
        said, _ = person.communicate(timeout=60)
    assert person.returncode == 0
    devices, readings = documents(said)
    assert [device["device_uid"] for device in devices] == [f"dev-0{n}" for n in range(1, 6)]
    assert readings
    assert all(set(each) == {"device_uid", "payload", "ts", "msg_id"} for each in readings)


@pytest.mark.curl
def test_the_first_device_is_made_and_publishes_with_its_token(stack: Stack, web: str) -> None:
    asked = {f"DJANGO_SUPERUSER_{name}": value for name, value in PERSON.items()}
    stack.manage("createsuperuser", "--noinput", **asked)
    publisher = stack.directory / "bin" / "mosquitto_pub"
    publisher.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > said\n')
    publisher.chmod(0o755)
    commands = block("first device, bash").replace("https://iot.example.com", web)
    with stack.shell(commands) as person:
        said, _ = person.communicate(timeout=60)
    assert person.returncode == 0
    assert list(documents(said))[-1] == []
    words = (stack.directory / "said").read_text().splitlines()
    option = dict(zip(words[::2], words[1::2], strict=True))
    assert option["-p"] == "8883"
    topic = option["-t"].split("/")
    with psycopg.connect(stack.database.url_of("iotplatform")) as connection:
        known = connection.execute(
            "SELECT device_uid, slug, digest FROM devices_credential "
            "JOIN devices_device ON devices_device.id = device_id "
            "JOIN accounts_tenant ON accounts_tenant.id = tenant_id"
        ).fetchall()
    uid, tenant, digest = known[0]
    assert (option["-i"], option["-u"], topic[0], topic[2]) == (uid, uid, tenant, uid)
    assert bytes(digest) == hashlib.sha256(option["-P"].encode()).digest()
    json.loads(option["-m"])


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("quick check", r"\$base(/[\w/?=-]+)"),
        ("quick check", r"\w+@example\.com|\bdemo\b"),
        ("quick check", r"http://[\w.:]+|authorization|application/json"),
        (
            "ingestor",
            r"DATABASE_URL|MQTT__HOST|EMQX__API_URL|/api/v5|POSTGRES_\w+|127\.0\.0\.1|iotplatform",
        ),
        ("ingestor", r"docker .*|\S+ manage\.py \w+"),
    ],
)
def test_powershell_is_told_what_bash_is_told(what: str, pattern: str) -> None:
    bash, powershell = (
        set(re.findall(pattern, block(f"{what}, {shell}"), re.IGNORECASE))
        for shell in ("bash", "powershell")
    )
    assert bash
    assert bash == powershell
