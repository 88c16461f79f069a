"""Wrong configurations stop the start: asked as an operator does, with `manage.py check`."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from iotplatform import checks
from tests.iotplatform.processes import ROOT, environment, manage
from tests.servers import free_port

PRODUCTION = {
    "DATABASE_URL": "postgresql+asyncpg://user:7Hs-pw-Zq@db.example.com:5432/iot",
    "MQTT__HOST": "mqtt.example.com",
    "ALLOWED_HOSTS": "iot.example.com",
    "SECRET_KEY": "5pZq0B3Yw8uTn1Vd6Lr2Xk9Ea4Hj7Gs-",
    "JWT_SECRET": "-Mf3Qb6Uc9Ow2Ni5Ry8Tl1Px4Dv7Zk0S",
}


def ids(output: str) -> set[str]:
    """The ids in what `manage.py check` printed; each must have a hint below it."""
    lines = output.splitlines()
    found = {number for number, line in enumerate(lines) if "(iotplatform." in line}
    assert all("HINT: " in lines[number + 1] for number in found), output
    return {lines[number].split("(iotplatform.")[1].split(")")[0] for number in found}


def check(**variables: str) -> set[str]:
    return ids(manage("check", **variables).stdout)


def test_a_trial_needs_no_configuration(tmp_path: Path) -> None:
    done = manage("check", LOCAL_DIR=str(tmp_path))
    assert done.returncode == 0, done.stdout


def test_a_complete_configuration_is_accepted() -> None:
    done = manage("check", "--fail-level=WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stdout


def test_every_wrong_value_is_reported_at_once() -> None:
    wrong = {
        "MQTT__TOPIC": "devices/#",
        "PORT": "0",
        "MQTT__PORT": "70000",
        "DEDUPE_DAYS": "0",
        "HISTORY_DAYS": "-1",
        "MAX_PAYLOAD": "10",
        "MAX_COMMAND": "0",
        "COMMAND_QUEUE": "-1",
        "COMMAND_RATE": "0",
        "REJECTED_DAYS": "0",
        "REJECTED_MAX": "0",
        "METRICS_PORT": "-1",
        "WEB_THREADS": "0",
        "MQTT__CA": "/nowhere/ca.pem",
        "LOG_LEVEL": "loud",
        "AUTH_DEMO": "1",
        "NUM_PROXIES": "-1",
        "ENROLMENT": "1",
        "AUTO_REGISTER": "1",
    }
    output = manage("check", **{**PRODUCTION, **wrong}).stdout
    numbers = {"W001", *(f"E{number:03}" for number in (*range(1, 10), 14))}
    assert ids(output) == numbers
    assert all(name in output for name in wrong)


def test_where_devices_enrol_they_do_not_register_themselves_unless_that_is_asked_for() -> None:
    assert check(**PRODUCTION, ENROLMENT="1") == set()


def test_nothing_that_a_trial_makes_up_holds_without_debug() -> None:
    output = manage("check", DEBUG="0").stdout
    assert ids(output) == {"E001", "E012", "E013"}
    for name in ("SECRET_KEY", "JWT_SECRET", "ALLOWED_HOSTS", "DATABASE_URL", "MQTT__HOST"):
        assert name in output


@pytest.mark.parametrize(
    "name", ["PORT", "MQTT__PORT", "DEBUG", "MAX_PAYLOAD", "COMMAND_RATE", "MQTT__TLS"]
)
def test_what_cannot_be_read_is_named(name: str) -> None:
    output = manage("check", **{**PRODUCTION, name: "many"}).stdout
    assert f"E001) {name}: " in output


@pytest.mark.parametrize("url", ["sqlite:///data.db", "nonsense", "postgresql://host:port/name"])
def test_an_address_of_no_postgresql_is_refused(url: str) -> None:
    assert check(**{**PRODUCTION, "DATABASE_URL": url}) == {"E001"}


@pytest.mark.parametrize(
    "secret", ["devsecret-devsecret-devsecret-devsecret", "short", "Change-Me-" + 40 * "x"]
)
def test_a_secret_that_can_be_guessed_is_refused(secret: str) -> None:
    assert check(**{**PRODUCTION, "JWT_SECRET": secret}) == {"E010"}


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ({"METRICS_TOKEN": "Change-Me-" + 40 * "x"}, {"METRICS_TOKEN is one"}),
        ({"METRICS_TOKEN": "short"}, {"METRICS_TOKEN is shorter"}),
        ({"DATABASES": {"default": {"PASSWORD": "Postgres"}}}, {"DATABASE_URL: its password"}),
        ({"DATABASES": {"default": {"PASSWORD": "ann", "USER": "ann"}}}, {"DATABASE_URL: its"}),
        ({"DATABASES": {"default": {"PASSWORD": "changeme1"}}}, {"DATABASE_URL: its password"}),
        ({"DATABASES": {"default": {"USER": "postgres"}}}, set()),
        ({"MQTT_PASSWORD": "public"}, {"MQTT__PASSWORD: its password"}),
        ({"DEBUG": True, "MQTT_PASSWORD": "public", "METRICS_TOKEN": "x"}, set()),
    ],
)
def test_nothing_starts_with_a_password_that_anybody_would_try(
    known: dict[str, Any], found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = {
        "DEBUG": False,
        "SECRET_KEY": 40 * "x",
        "JWT_SECRET": 40 * "y",
        "METRICS_TOKEN": "",
        "DATABASES": {"default": {"PASSWORD": "7Hs-pw-Zq"}},
        "MQTT_PASSWORD": "",
        "MQTT_USERNAME": "iot",
    }
    monkeypatch.setattr(checks, "settings", SimpleNamespace(**fine | known))
    said = [str(message.msg) for message in checks.check_secrets()]
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def test_who_the_broker_and_the_platform_are_to_each_other_cannot_be_guessed(settings: Any) -> None:
    settings.MQTT_ACCESS, settings.MQTT_EMBEDDED = "emqx", False
    settings.EMQX_API_URL = "http://broker:18083/api/v5"
    settings.MQTT_INGEST_PASSWORD, settings.MQTT_DISPATCH_PASSWORD = 40 * "a", "change-me" * 5
    settings.MQTT_HOOK_SECRET, settings.EMQX_API_SECRET = 40 * "b", "public"
    said = {str(message.msg) for message in checks.check_access(app_configs=None)}
    assert said == {
        "MQTT__DISPATCH_PASSWORD is one that stands in an example.",
        "EMQX__API_SECRET is shorter than 32 bytes.",
    }


def test_one_secret_for_both_purposes_is_refused() -> None:
    assert check(**{**PRODUCTION, "JWT_SECRET": PRODUCTION["SECRET_KEY"]}) == {"E011"}


def test_a_proxy_that_is_not_counted_is_a_warning() -> None:
    behind = {**PRODUCTION, "CSRF_TRUSTED_ORIGINS": "https://iot.example.com"}
    assert check(**behind) == {"W002"}
    assert check(**behind, NUM_PROXIES="1") == set()


def test_a_port_that_leaves_none_for_the_platform_is_refused(tmp_path: Path) -> None:
    assert check(LOCAL_DIR=str(tmp_path), DEBUG="1", MQTT__PORT="65535") == {"E003"}


def test_the_secrets_of_a_trial_are_kept_and_private(tmp_path: Path) -> None:
    read = ("shell", "-v0", "-c", "from django.conf import settings; print(settings.JWT_SECRET)")
    first, second = (manage(*read, LOCAL_DIR=str(tmp_path)).stdout for _ in range(2))
    assert first == second
    assert len(first) > 32
    assert (tmp_path / "jwt_secret").stat().st_mode & 0o077 == 0


def test_gunicorn_refuses_to_serve_what_check_refuses() -> None:
    gunicorn = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "iotplatform.wsgi", "--no-control-socket"),
            *("--bind", f"127.0.0.1:{free_port()}"),
        ],
        cwd=ROOT,
        env=environment(**{**PRODUCTION, "ALLOWED_HOSTS": ""}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert gunicorn.returncode != 0
    assert "ALLOWED_HOSTS is empty" in gunicorn.stderr
