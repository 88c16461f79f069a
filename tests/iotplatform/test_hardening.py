"""Containers have no more than they need: read from the Compose files, tried where that can be."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT
from tests.servers import free_port

FILES = {"base": (compose.BASE,), "demo": (compose.BASE, compose.DEMO)}
ROOT_NEEDS = {
    # nginx.conf has the reasons.
    "proxy": {"CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"},
    # The volume is root's when it is new; the file in it has to be Mosquitto's.
    "mosquitto-accounts": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
}
OWN_ACCOUNT = {"postgres": "postgres", "mosquitto": "1883:1883", "mosquitto-accounts": "0:0"}
"""Of all others the image says it: app, emqx, nobody; of nginx, root."""
OPEN_TO_THE_WORLD = ["80:80", "443:443", "8883:8883"]
EXAMPLE = compose.env_file(ROOT / ".env.example")
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "kB": 2**10, "MB": 2**20, "GB": 2**30}


@pytest.fixture(params=FILES)
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = compose.load(*FILES[request.param])["services"]
    return found


@pytest.fixture
def base() -> dict[str, Any]:
    found: dict[str, Any] = compose.load(compose.BASE)["services"]
    return found


def amount(text: str) -> int:
    found = re.fullmatch(r"(\d+)(\w+)", text)
    assert found, text
    return int(found[1]) * UNITS[found[2]]


def test_nobody_gets_more_rights_than_it_starts_with(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service.get("cap_add", [])) == ROOT_NEEDS.get(name, set()), name
        assert service.get("user") == OWN_ACCOUNT.get(name), name
        assert "privileged" not in service
        assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_nothing_can_be_written_but_what_is_named(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert all("size=" in place for place in service.get("tmpfs", [])), name


def test_nobody_takes_all_of_the_machine(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert amount(service["mem_limit"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert 0 < float(service["cpus"]) <= 2, name


def test_what_stays_says_how_it_is_ends_its_log_and_comes_back(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if compose.ends(service):
            assert "healthcheck" not in service
            continue
        assert {"test", "interval", "timeout", "start_period"} <= service["healthcheck"].keys()
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert service["restart"] == "unless-stopped", name
        assert service["init"] is True, name


def test_what_always_runs_fits_into_four_gigabytes(base: dict[str, Any]) -> None:
    staying = compose.started({"services": base}, "emqx").values()
    limits = [amount(each["mem_limit"]) for each in staying if not compose.ends(each)]
    assert sum(limits) < 4 * 2**30


def test_strangers_cannot_fill_the_memory_of_the_proxy(base: dict[str, Any]) -> None:
    """All at a time: silent connections, requests and bodies, each at its limit."""
    config = (ROOT / "deploy/proxy/nginx.conf").read_text()

    def limit(name: str) -> int:
        found = re.findall(rf"^ *{name} (\d+)m?;$", config, re.MULTILINE)
        assert found, name
        return int(found[0])

    # As measured; docs/https.md says so as well.
    idle, request, of_workers = 16 * UNITS["k"], 60 * UNITS["k"], 32 * UNITS["m"]
    connections = 2 * limit("worker_connections")
    assert 2 * (limit("limit_conn devices") + limit("limit_conn all")) < connections
    small, large = (UNITS["m"] * int(size) for size in (2, 33))
    assert {"2", "33"} == set(re.findall(r"client_max_body_size (\d+)m;", config))
    huge = limit("limit_conn huge")
    bodies = (limit("limit_conn large") - huge) * small + huge * large
    room = amount(base["proxy"]["tmpfs"][0].rpartition("size=")[2])
    assert bodies < room
    most = room + connections * idle + limit("limit_conn all") * request + of_workers
    assert most < amount(base["proxy"]["mem_limit"])


def test_only_the_proxy_can_be_reached_from_outside(base: dict[str, Any]) -> None:
    ports = {name: each["ports"] for name, each in base.items() if "ports" in each}
    assert ports == {"proxy": OPEN_TO_THE_WORLD}


def test_doors_for_this_machine_are_for_no_other() -> None:
    services = compose.load(compose.BASE, compose.LOCAL)["services"]
    ports = chain.from_iterable(each.get("ports", []) for each in services.values())
    opened = [port for port in ports if port not in OPEN_TO_THE_WORLD]
    assert len(opened) == 6
    assert all(port.startswith("127.0.0.1:") for port in opened)
    # In networks that do not lead out nothing can be published.
    for name, service in services.items():
        if service.get("ports"):
            assert set(service["networks"]) & {"edge", "local"}, name


def test_the_database_speaks_with_the_platform_alone(base: dict[str, Any]) -> None:
    beside = {name for name, each in base.items() if "database" in each["networks"]}
    platform = {name for name, each in base.items() if each["image"] == "iotplatform"}
    assert beside == platform | {"postgres"}
    assert base["postgres"]["networks"] == ["database"]
    assert set(base["proxy"]["networks"]) == {"edge", "mqtt"}


def test_only_who_has_to_gets_out(base: dict[str, Any]) -> None:
    """Who is asked from outside, and the dispatcher, which sends alerts."""
    networks = compose.load(compose.BASE)["networks"]
    inside = {name for name, network in networks.items() if network}
    assert all(networks[name] == {"internal": True} for name in inside)
    assert networks.keys() - inside == {"edge"}
    out = {name for name, each in base.items() if set(each["networks"]) - inside}
    assert out == {"proxy", "web", "live", "dispatcher"}


def test_prometheus_reaches_all_that_it_asks(base: dict[str, Any]) -> None:
    config = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    by_name = set(re.findall(r"names: \[([\w-]+)\]", config))
    assert by_name == {"web", "live", "ingestor", "dispatcher"}
    names = by_name | {*re.findall(r'targets: \["([\w-]+):\d+"\]', config)}
    names -= {"localhost", "alertmanager"}
    assert all("monitoring" in base[name]["networks"] for name in names)


def test_there_is_time_to_end_well(base: dict[str, Any]) -> None:
    from_gunicorn = 5
    grace = {name: each.get("stop_grace_period", "10s") for name, each in base.items()}
    assert int(grace["web"].rstrip("s")) > from_gunicorn
    assert int(grace["ingestor"].rstrip("s")) >= 30
    assert grace["postgres"] == "2m"


def test_the_database_has_a_connection_and_a_process_for_everybody(base: dict[str, Any]) -> None:
    config = (ROOT / "deploy/postgres/postgresql.conf").read_text()
    found = re.search(r"^max_connections = (\d+)$", config, re.MULTILINE)
    assert found
    most = int(found[1])
    live = compose.environment(compose.load(compose.BASE), "live")
    threads = int(EXAMPLE["WEB_WORKERS"]) * int(EXAMPLE["WEB_THREADS"]) + int(live["WEB_THREADS"])
    assert int(live["LIVE_STREAMS"]) < int(live["WEB_THREADS"])
    # Ingestor, dispatcher, maintenance, listeners, people.
    assert threads + 40 <= most < base["postgres"]["pids_limit"]


def test_the_images_labels_are_those_of_the_sources() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', dockerfile))
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{labels["version"]}"' in project
    assert f'license = "{labels["licenses"]}"' in project
    assert labels["revision"] == "$REVISION"


# Health checks ---------------------------------------------------------------------------------


def is_content(command: list[str]) -> bool:
    """What the health check `command` of a container says here."""
    shell = ["sh", "-c"] if command[0] == "CMD-SHELL" else []
    quiet = subprocess.DEVNULL
    done = subprocess.run([*shell, *command[1:]], stderr=quiet, timeout=20, check=False)
    return done.returncode == 0


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers everything with `status`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody has to read it."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with closing(server.socket):
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_a_daemon_is_well_while_it_says_so(
    base: dict[str, Any], status: int, healthy: bool
) -> None:
    check = base["ingestor"]["healthcheck"]["test"]
    assert check == base["dispatcher"]["healthcheck"]["test"]
    port = compose.environment(compose.load(compose.BASE), "ingestor")["METRICS_PORT"]
    with answering(status) as here:
        assert is_content([part.replace(f":{port}/", f":{here}/") for part in check]) is healthy


def test_maintenance_is_well_for_hours_after_it_ended_well(
    base: dict[str, Any], tmp_path: Path
) -> None:
    check = [
        part.replace("/tmp/done", str(tmp_path / "done"))
        for part in base["maintenance"]["healthcheck"]["test"]
    ]
    assert not is_content(check)
    (tmp_path / "done").touch()
    assert is_content(check)
    before = (tmp_path / "done").stat().st_mtime - 4 * 3600
    os.utime(tmp_path / "done", (before, before))
    assert not is_content(check)


def test_the_simulator_is_well_while_it_is_connected(base: dict[str, Any]) -> None:
    check = base["simulator"]["healthcheck"]["test"]
    port = free_port()
    assert f":{1883:04X} 01 " in check
    here = [part.replace(f":{1883:04X}", f":{port:04X}") for part in check]
    with closing(socket.create_server(("127.0.0.1", port))):
        assert not is_content(here)
        with closing(socket.create_connection(("127.0.0.1", port))):
            assert is_content(here)


# Prometheus ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "short", "t" * 32])
def test_prometheus_does_not_start_without_the_token(
    base: dict[str, Any], tmp_path: Path, token: str
) -> None:
    *shell, script = base["prometheus"]["entrypoint"]
    (tmp_path / "prometheus").write_text("#!/bin/sh\necho started\n")
    (tmp_path / "prometheus").chmod(0o755)
    file = tmp_path / "metrics_token"
    here = script.replace("/run/secrets/metrics_token", str(file))
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [*shell, here],
        env={"PATH": path, "METRICS_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
    )
    if len(token) < 32:
        assert done.returncode == 1
        assert "Fill in METRICS_TOKEN" in done.stderr
    else:
        assert done.stdout == "started\n"
        assert file.read_text() == token
        assert file.stat().st_mode & 0o077 == 0


# Mosquitto -------------------------------------------------------------------------------------


def test_mosquitto_has_the_doors_that_proxy_and_platform_come_by(
    base: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "mosquitto").write_text('#!/bin/sh\ncat "$2"\n')
    (tmp_path / "mosquitto").chmod(0o755)
    (tmp_path / "dynamic-security.json").touch()
    shell, place = base["mosquitto"]["entrypoint"]
    folder = Path(place).parent
    files = [volume.split(":") for volume in base["mosquitto"]["volumes"][1:]]
    assert {Path(inside).parent for _, inside, _ in files} == {folder}
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATA": str(tmp_path)}
    done = subprocess.run(
        [shell, str(ROOT / files[-1][0])],
        env=variables | base["mosquitto"]["environment"],
        capture_output=True,
        text=True,
        check=True,
    )
    doors = re.findall(r"^listener (.*)$", done.stdout, re.MULTILINE)
    assert doors == ["1883", compose.environment(compose.load(compose.BASE), "web")["MQTT__PORT"]]
    # What may wait fits: 400 bytes for each message (measured) and its own, with those in flight.
    limits = dict(re.findall(r"^(max_\w+) (\d+)$", done.stdout, re.MULTILINE))
    waiting = int(limits["max_queued_messages"]) + int(limits["max_inflight_messages"])
    assert limits["max_queued_messages"] == EXAMPLE["BROKER_QUEUE"]
    most = 400 * waiting + int(limits["max_queued_bytes"]) + 65_535 * 1024
    assert most < amount(base["mosquitto"]["mem_limit"]) * 0.75


def test_the_accounts_are_made_where_a_running_mosquitto_is_seen(base: dict[str, Any]) -> None:
    """Or they would be written under its hands, each time that all is started."""
    assert set(base["mosquitto"]["networks"]) <= set(base["mosquitto-accounts"]["networks"])


def test_scripts_that_are_mounted_have_the_lines_of_a_unix_on_every_machine() -> None:
    mounted = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("deploy/**/*.sh"))
    told = ["git", "check-attr", "eol", *mounted]
    said = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "".join(f"{path}: eol: lf\n" for path in mounted)
