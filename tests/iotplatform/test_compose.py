"""The containers, alone and as the demo: read as Compose reads them, and tried where that can be.

There is no Docker here. The schema of the Compose Specification says whether the files can be
understood; what the containers run is run without them.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import get_commands
from jsonschema import Draft202012Validator

from iotplatform.embedded import Postgres
from tests.acceptance.ledger import wait_until
from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT, manage

SCHEMA = Path(__file__).parent / "compose_spec" / "compose-spec.json"
FILES = {
    "base": (compose.BASE,),
    "demo": (compose.BASE, compose.DEMO),
    "local": (compose.BASE, compose.LOCAL),
    "secrets": (compose.BASE, compose.SECRETS),
}
NEVER = {"proxy", "live", "mosquitto", "mosquitto-accounts", "prometheus"}
"""What the demo does without."""
ENDS = "service_completed_successfully"


@pytest.fixture(params=FILES)
def project(request: pytest.FixtureRequest) -> dict[str, Any]:
    return compose.load(*FILES[request.param])


@pytest.fixture
def example() -> dict[str, str]:
    return compose.env_file(ROOT / ".env.example")


@pytest.fixture
def demo() -> dict[str, Any]:
    return compose.load(*FILES["demo"])


@pytest.fixture
def secrets_dir(demo: dict[str, Any], tmp_path: Path) -> Path:
    make_secrets(demo, tmp_path)
    return tmp_path


def make_secrets(demo: dict[str, Any], directory: Path) -> None:
    subprocess.run(demo["services"]["secrets"]["command"], cwd=directory, check=True)


def complaints(project: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    return [error.message for error in validator.iter_errors(project)]


def test_compose_understands_the_files(project: dict[str, Any]) -> None:
    assert complaints(project) == []


def test_the_schema_notices_what_compose_would_refuse(project: dict[str, Any]) -> None:
    project["services"]["web"] |= {"depend_on": ["migrate"], "restart": True}
    assert len(complaints(project)) == 2


def test_a_later_file_adds_replaces_and_removes() -> None:
    reset, override = compose.Tagged("!reset", None), compose.Tagged("!override", [3])
    lower = {"map": {"a": 1, "b": 2}, "list": [1], "other": [1], "command": [1], "gone": 1}
    upper = {"map": {"b": 3}, "list": [2], "other": override, "command": [2], "gone": reset}
    merged = {"map": {"a": 1, "b": 3}, "list": [1, 2], "other": [3], "command": [2]}
    assert compose.merge(lower, upper) == merged


def test_one_service_makes_the_image_and_no_other_asks_a_registry(project: dict[str, Any]) -> None:
    services = compose.platform_services(project)
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    assert {service["pull_policy"] for service in services.values()} == {"never"}


def test_every_other_image_has_its_version_pinned(project: dict[str, Any]) -> None:
    images = {service["image"] for service in project["services"].values()}
    assert images == {
        "iotplatform",
        "postgres:17.11-trixie",
        "emqx/emqx:5.8.9",
        "eclipse-mosquitto:2.0.22",
        "nginx:1.30.4-trixie",
        "prom/prometheus:v3.14.0",
    }


def test_the_containers_run_commands_that_exist(project: dict[str, Any]) -> None:
    texts = [" ".join(service.get("command", [])) for service in project["services"].values()]
    run = re.findall(r"manage\.py (\w+)", "\n".join(texts))
    assert {"migrate", "run_ingestor", "run_dispatcher", "simulate_devices", "maintain"} <= set(run)
    assert set(run) <= set(get_commands())


def test_whatever_is_waited_for_is_there_and_says_how_it_is(project: dict[str, Any]) -> None:
    services = project["services"]
    waits = chain.from_iterable(each.get("depends_on", {}).items() for each in services.values())
    for name, how in waits:
        assert compose.ends(services[name]) == (how["condition"] == ENDS)
        assert "healthcheck" in services[name] or how["condition"] != "service_healthy"


@pytest.mark.parametrize(("broker", "other"), [("emqx", "mosquitto"), ("mosquitto", "emqx")])
def test_only_the_other_broker_is_waited_for_in_vain(broker: str, other: str) -> None:
    services = compose.started(compose.load(compose.BASE), broker, "monitoring")
    waits = [
        (name, how)
        for service in services.values()
        for name, how in service.get("depends_on", {}).items()
        if name not in services
    ]
    assert waits
    assert all(name == other and how["required"] is False for name, how in waits)


def test_every_volume_is_declared_and_every_file_is_there(project: dict[str, Any]) -> None:
    mounted = chain.from_iterable(each.get("volumes", []) for each in project["services"].values())
    places = {volume.split(":")[0]: volume for volume in mounted}
    here = {place for place in places if place.startswith("./")}
    assert places.keys() - here == set(project["volumes"])
    assert all(places[place].endswith(":ro") for place in here)
    made_by_people = {"./certs", "./acme"}
    assert all((ROOT / place).exists() for place in here - made_by_people)


def test_brokers_simulator_and_prometheus_wait_to_be_asked_for(example: dict[str, str]) -> None:
    project = compose.load(compose.BASE)
    always = compose.started(project).keys()
    assert always == {
        *("postgres", "migrate", "web", "live", "ingestor", "dispatcher", "maintenance", "proxy"),
    }
    profiles = example["COMPOSE_PROFILES"].split(",")
    assert compose.started(project, *profiles).keys() - always == {"emqx"}


def test_either_broker_is_found_by_one_name_in_one_network(project: dict[str, Any]) -> None:
    for broker in ("emqx", "mosquitto"):
        assert project["services"][broker]["networks"]["mqtt"] == {"aliases": ["broker"]}
    for name in ("ingestor", "dispatcher", "simulator"):
        assert "mqtt" in project["services"][name]["networks"]
        assert compose.environment(project, name)["MQTT__HOST"] == "broker"


@contextmanager
def upkeep(directory: Path, python: str) -> Iterator[subprocess.Popen[bytes]]:
    """What the service “maintenance” runs, with a script for what `manage.py` does."""
    command = compose.load(compose.BASE)["services"]["maintenance"]["command"]
    (directory / "python").write_text(f"#!/bin/sh\n{python}")
    (directory / "python").chmod(0o755)
    path = f"{directory}:{os.environ['PATH']}"
    here = [part.replace("/tmp/done", "done").replace("sleep 60", "sleep 0.1") for part in command]
    with subprocess.Popen(here, cwd=directory, env={"PATH": path}, start_new_session=True) as loop:
        try:
            yield loop
        finally:
            with suppress(ProcessLookupError):
                os.killpg(loop.pid, signal.SIGKILL)


def test_what_fails_its_upkeep_is_not_taken_for_well_and_tries_again(tmp_path: Path) -> None:
    with upkeep(tmp_path, "echo ran >> log\ntest ! -e done && test -e mended\n"):
        log = tmp_path / "log"
        wait_until(lambda: log.exists() and log.read_text().count("ran") > 1, "a second time")
        assert not (tmp_path / "done").exists()
        (tmp_path / "mended").touch()
        wait_until(lambda: (tmp_path / "done").exists(), "the end")


def test_upkeep_is_told_of_a_stop_and_awaited(tmp_path: Path) -> None:
    """With the variable, the container's first process tells all of its group."""
    project = compose.load(compose.BASE)
    assert "TINI_KILL_PROCESS_GROUP" in compose.environment(project, "maintenance")
    python = "trap 'sleep 0.1; touch ended; exit 1' TERM\ntouch began\nsleep 9 &\nwait\n"
    with upkeep(tmp_path, python) as loop:
        wait_until(lambda: (tmp_path / "began").exists(), "the beginning")
        os.killpg(loop.pid, signal.SIGTERM)
        loop.wait(5)
        assert (tmp_path / "ended").exists()


def test_the_demo_takes_nothing_from_an_installation_beside_it(demo: dict[str, Any]) -> None:
    assert demo["name"] == "iotplatform-demo"
    assert all(service.get("env_file") != ".env" for service in demo["services"].values())
    named = compose.load(*FILES["demo"], POSTGRES_PASSWORD="of the installation")
    assert named["services"] == demo["services"]


def test_the_demo_is_only_for_this_machine() -> None:
    services = compose.load(*FILES["demo"], BIND="0.0.0.0")["services"]
    ports = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert ports == {"web": ["127.0.0.1:8000:8000"], "emqx": ["127.0.0.1:1883:1883"]}
    # In networks that do not lead out nothing can be published.
    assert all("edge" in services[name]["networks"] for name in ports)


def test_the_demo_starts_the_same_whatever_is_asked_of_an_installation(
    demo: dict[str, Any],
) -> None:
    started = compose.started(demo)
    assert started == compose.started(demo, "emqx", "mosquitto", "monitoring", "simulator")
    assert demo["services"].keys() - started.keys() == NEVER


def test_the_demo_answers_to_the_names_by_which_this_machine_is_reached(
    demo: dict[str, Any],
) -> None:
    # The last is what it is called in Android's emulator.
    names = {"localhost", "127.0.0.1", "10.0.2.2"}
    assert set(compose.environment(demo, "web")["ALLOWED_HOSTS"].split(",")) == names


def test_the_demo_has_no_secret_that_stands_here(demo: dict[str, Any]) -> None:
    started = compose.started(demo)
    set_names = chain.from_iterable(compose.environment(demo, name) for name in started)
    secret = {name for name in set_names if re.search("PASSWORD|SECRET|KEY|TOKEN", name)}
    assert secret == {"POSTGRES_PASSWORD_FILE"}
    assert "EMQX_NODE__COOKIE" in started["emqx"]["command"][-1]


def test_the_demo_makes_its_password_once_and_keeps_it_private(
    demo: dict[str, Any], secrets_dir: Path
) -> None:
    first = {file.name: file.read_text() for file in secrets_dir.iterdir()}
    make_secrets(demo, secrets_dir)
    assert {file.name: file.read_text() for file in secrets_dir.iterdir()} == first
    assert first.keys() == {"postgres_password", "pgpass"}
    assert len(first["postgres_password"]) > 48
    # PostgreSQL reads its own with another account than the platform's.
    modes = {file.name: file.stat().st_mode & 0o777 for file in secrets_dir.iterdir()}
    assert modes == {"postgres_password": 0o644, "pgpass": 0o600}
    assert secrets_dir.stat().st_mode & 0o777 == 0o711


def test_a_start_that_was_cut_off_leaves_no_half_secret(
    demo: dict[str, Any], secrets_dir: Path
) -> None:
    (secrets_dir / "postgres_password").rename(secrets_dir / "new")
    make_secrets(demo, secrets_dir)
    password = (secrets_dir / "postgres_password").read_text()
    assert (secrets_dir / "pgpass").read_text() == f"*:*:*:*:{password}"


def test_the_settings_of_the_demo_are_accepted(demo: dict[str, Any], tmp_path: Path) -> None:
    done = manage("check", **{**compose.environment(demo, "web"), "LOCAL_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"secret_key", "jwt_secret"}


def test_all_of_the_demo_that_runs_django_finds_secrets_that_migrate_made(
    demo: dict[str, Any],
) -> None:
    services = {
        name: service
        for name, service in compose.platform_services(demo).items()
        if name not in NEVER
    }
    assert {tuple(service["volumes"]) for service in services.values()} == {
        ("secrets:/app/.local",)
    }
    for name in services.keys() - {"secrets", "migrate"}:
        assert services[name]["depends_on"]["migrate"]["condition"] == ENDS


@pytest.fixture
def guarded(secrets_dir: Path) -> Iterator[Postgres]:
    """A PostgreSQL that asks the role of the demo for its password."""
    rules = secrets_dir / "pg_hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    secrets_dir.chmod(0o711)
    rules.chmod(0o644)
    server = Postgres(secrets_dir / "data", hba_file=str(rules), fsync="off")
    with server.running():
        password = (secrets_dir / "postgres_password").read_text().strip()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE iotplatform SUPERUSER LOGIN PASSWORD '{password}'")
            connection.execute("CREATE DATABASE iotplatform")
        yield server


def test_the_demo_logs_in_to_its_database_and_makes_its_people(
    demo: dict[str, Any], secrets_dir: Path, guarded: Postgres
) -> None:
    variables = compose.environment(demo, "people")
    address = variables["DATABASE_URL"].replace("/app/.local", str(secrets_dir))
    here = address.replace("@postgres:5432/", "@/").replace("?", f"?host={guarded.socket_dir}&")
    variables |= {"DATABASE_URL": here, "LOCAL_DIR": str(secrets_dir)}
    for command in ("migrate", "make_demo_users", "make_demo_users"):
        done = manage(command, **variables)
        assert done.returncode == 0, done.stdout
    assert "operator@example.com" in done.stdout
    with psycopg.connect(guarded.url_of("iotplatform")) as connection:
        assert connection.execute("SELECT count(*) FROM accounts_user").fetchone() == (3,)
    (secrets_dir / "pgpass").unlink()
    assert "no password supplied" in manage("migrate", **variables).stdout


def test_people_with_a_known_password_are_not_made_for_real_data() -> None:
    done = manage("make_demo_users", DEBUG="0")
    assert done.returncode != 0
