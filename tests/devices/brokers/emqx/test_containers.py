"""The EMQX of the containers is closed: its settings are read, and what starts it is run."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from devices.brokers.emqx.views import let_in
from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT

SECRETS = {
    "MQTT__HOOK_SECRET": "the-secret-that-EMQX-knows-us-by--",
    "EMQX__API_KEY": "platform",
    "EMQX__API_SECRET": "the-secret-of-its-management-API--",
    "EMQX__COOKIE": "-the-secret-of-the-nodes-of-a-cluster",
}
SCRIPT = ROOT / "deploy" / "emqx" / "start.sh"
START = "exec /opt/emqx/bin/emqx foreground"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return compose.load(compose.BASE, **SECRETS)


@pytest.fixture(scope="module")
def broker(project: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What EMQX itself finds in its environment."""
    done = start(project, tmp_path_factory.mktemp("emqx"))
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def start(project: dict[str, Any], directory: Path, **secrets: str) -> Any:
    """What the container runs, up to EMQX itself, in place of which its environment is shown."""
    variables = compose.environment(project, "emqx") | secrets
    variables["EMQX_API_KEY__BOOTSTRAP_FILE"] = str(directory / "api_key")
    *shell, place = project["services"]["emqx"]["command"]
    assert f"./deploy/emqx/start.sh:{place}:ro" in project["services"]["emqx"]["volumes"]
    script = SCRIPT.read_text()
    assert START in script
    (directory / "start.sh").write_text(script.replace(START, "exec env -0"))
    return subprocess.run(
        [*shell, str(directory / "start.sh")],
        env=variables | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_emqx_asks_where_it_is_answered(project, broker):
    asked = broker["EMQX_AUTHENTICATION"]
    assert f'url = "http://web:8000{reverse("emqx-auth")}"' in asked
    assert "mechanism = password_based, backend = http, method = post" in asked
    assert f'"authorization" = "Bearer {SECRETS["MQTT__HOOK_SECRET"]}"' in asked
    assert project["services"]["web"]["env_file"] == ".env"


def test_emqx_says_all_that_is_needed_to_decide(broker, monkeypatch):
    body = re.search(r"body = {(.*?)}[,\s]", broker["EMQX_AUTHENTICATION"])
    said = dict(re.findall(r'(\w+) = "\$\{(\w+)\}"', body[1] + "}"))
    assert said == {name: name for name in ("username", "password", "clientid")}
    monkeypatch.setattr("devices.brokers.emqx.views.authenticate", lambda *_: None)
    assert let_in(said) == {"result": "deny"}


def test_what_nobody_said_is_denied_and_nobody_else_is_asked(broker):
    assert broker["EMQX_AUTHENTICATION"].startswith("[{")
    assert broker["EMQX_AUTHENTICATION"].count("mechanism") == 1
    assert broker["EMQX_AUTHORIZATION__SOURCES"] == "[]"
    assert broker["EMQX_AUTHORIZATION__NO_MATCH"] == "deny"
    assert broker["EMQX_AUTHORIZATION__DENY_ACTION"] == "disconnect"


def test_no_more_come_in_than_web_decides_about_beside_the_api(broker):
    rate = int(broker["EMQX_LISTENERS__TCP__DEFAULT__MAX_CONN_RATE"].removesuffix("/s"))
    beside_the_api, fleet, patience = 520, 10_000, 10
    # What has piled up when the last of them is let in.
    waiting = fleet * (1 - beside_the_api / rate)
    assert waiting / beside_the_api < patience / 2
    assert f"lets in {rate} new connections a second" in (ROOT / "docs/emqx.md").read_text()


def test_nothing_comes_later_than_it_was_said(broker):
    assert broker["EMQX_DELAYED__ENABLE"] == "false"
    assert "delayed.enable = false" in (ROOT / "docs/emqx.md").read_text()


def test_the_platform_has_a_door_with_room_that_is_not_for_others(project, broker):
    port = broker["EMQX_LISTENERS__TCP__PLATFORM__BIND"]
    zone = broker["EMQX_LISTENERS__TCP__PLATFORM__ZONE"].upper()
    assert int(broker[f"EMQX_ZONES__{zone}__MQTT__MAX_MQUEUE_LEN"]) == 400_000
    assert {
        compose.environment(project, name)["MQTT__PORT"] for name in ("ingestor", "dispatcher")
    } == {port}
    assert "ports" not in project["services"]["emqx"]
    assert compose.environment(project, "simulator")["MQTT__PORT"] == "1883"


def test_the_dashboard_has_no_password_that_everybody_knows(project, broker):
    port = broker["EMQX_DASHBOARD__LISTENERS__HTTP__BIND"]
    assert broker["EMQX_DASHBOARD__DEFAULT_PASSWORD"] == f'"{SECRETS["EMQX__API_SECRET"]}"'
    assert "public" not in broker["EMQX_DASHBOARD__DEFAULT_PASSWORD"]
    api = compose.environment(project, "dispatcher")["EMQX__API_URL"]
    assert api == f"http://broker:{port}/api/v5"


def test_emqx_starts_with_the_key_by_which_it_is_told(project, tmp_path):
    assert start(project, tmp_path).returncode == 0
    file = tmp_path / "api_key"
    assert file.read_text() == f"{SECRETS['EMQX__API_KEY']}:{SECRETS['EMQX__API_SECRET']}\n"
    assert file.stat().st_mode & 0o077 == 0


def test_secrets_may_come_from_files(project, broker, tmp_path):
    names = {
        "HOOK_SECRET": "MQTT__HOOK_SECRET",
        "API_SECRET": "EMQX__API_SECRET",
        "COOKIE": "EMQX__COOKIE",
    }
    files = {}
    for name, setting in names.items():
        (tmp_path / name).write_text(SECRETS[setting] + "\n")
        files |= {name: "", f"{name}_FILE": str(tmp_path / name)}
    done = start(project, tmp_path, **files)
    assert done.returncode == 0, done.stderr
    for name in ("EMQX_AUTHENTICATION", "EMQX_NODE__COOKIE", "EMQX_DASHBOARD__DEFAULT_PASSWORD"):
        assert f"{name}={broker[name]}\0" in done.stdout


def test_nodes_do_not_know_each_other_by_what_everybody_knows(broker):
    assert broker["EMQX_NODE__COOKIE"] == f"c{SECRETS['EMQX__COOKIE']}"


@pytest.mark.parametrize("name", ["HOOK_SECRET", "API_KEY", "API_SECRET", "COOKIE"])
def test_emqx_does_not_start_while_a_secret_is_missing(project, tmp_path, name):
    done = start(project, tmp_path, **{name: ""})
    assert done.returncode == 1
    assert re.search(rf"Fill in \w+__{name} in .env", done.stderr)
    assert not (tmp_path / "api_key").exists()


@pytest.mark.parametrize("secret", ["short", '"}], url = "http://elsewhere/", x = [{y = "-------'])
def test_emqx_does_not_start_with_what_is_no_secret(project, tmp_path, secret):
    done = start(project, tmp_path, HOOK_SECRET=secret)
    assert done.returncode == 1
    assert "MQTT__HOOK_SECRET" in done.stderr


def test_the_demo_is_open_and_says_so_to_everybody():
    demo = compose.load(compose.BASE, compose.DEMO)
    broker = compose.environment(demo, "emqx")
    assert not [name for name in broker if "AUTH" in name or "KEY" in name]
    assert broker["EMQX_DASHBOARD__LISTENERS__HTTP__BIND"] == "0"
    assert START in demo["services"]["emqx"]["command"][-1]
    platform = compose.platform_services(demo).keys() - {"secrets"}
    assert {compose.environment(demo, name)["MQTT__ACCESS"] for name in platform} == {"open"}


def documented() -> set[str]:
    """Settings that EMQX has, as emqx_spec/README.md says."""
    lines = (ROOT / "tests/iotplatform/emqx_spec/keys.txt").read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


def key_of(variable: str) -> str:
    """The setting that `variable` is, with “$name” for a name that is ours."""
    key = variable.removeprefix("EMQX_").lower().replace("__", ".")
    key = re.sub(r"^(listeners\.\w+)\.\w+", r"\1.$name", key)
    return re.sub(r"^zones\.\w+\.", "", key)


def test_emqx_has_every_setting_that_it_is_given(broker):
    # Of the image itself, not of EMQX: its entry point reads it.
    given = [name for name in broker if name.startswith("EMQX_") and name != "EMQX_NODE_NAME"]
    assert len(given) > 25
    assert {key_of(name) for name in given} - documented() == set()
    assert key_of("EMQX_MQTT__MAX_QUEUE_LEN") not in documented()


def test_emqx_tells_nobody_how_it_is_used(broker):
    assert broker["EMQX_TELEMETRY__ENABLE"] == "false"
