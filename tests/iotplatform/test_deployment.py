"""What no test can build is read instead: the image, the containers, the example settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.apps import apps
from django.core.management import call_command, get_commands
from pytest_django import Settings

from iotplatform import settings as platform_settings
from tests.iotplatform.processes import ROOT, manage
from tests.iotplatform.test_checks import PRODUCTION, ids

SECRETS = ("SECRET_KEY", "JWT_SECRET", "POSTGRES_PASSWORD")


def env_file(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    return env_file(ROOT / ".env.example")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return dict(compose["services"])


@pytest.fixture(scope="module")
def in_container(services: dict[str, Any], example: dict[str, str]) -> dict[str, str]:
    """The configuration of the containers, with the password of the database filled in."""
    addresses = services["web"]["environment"]
    password = {"DATABASE_URL": re.sub(r"\$\{[^}]*\}", "s3cret", addresses["DATABASE_URL"])}
    return {**example, **addresses, **password}


def test_the_example_has_every_setting(example: dict[str, str]) -> None:
    source = Path(platform_settings.__file__).read_text()
    read = set(re.findall(r'(?:read\([\w.]+, |secret\(|env\.str\()"(\w+)"', source))
    assert len(read) > 20
    assert read | {"POSTGRES_PASSWORD"} == set(example)


def test_the_example_has_no_secret(example: dict[str, str]) -> None:
    assert [example[name] for name in SECRETS] == ["", "", ""]


def test_the_unchanged_example_is_refused(in_container: dict[str, str]) -> None:
    output = manage("check", **in_container).stdout
    assert ids(output) == {"E001"}
    assert "SECRET_KEY: It is not set." in output
    assert "JWT_SECRET: It is not set." in output


def test_the_example_with_secrets_is_accepted(in_container: dict[str, str]) -> None:
    secrets = {name: PRODUCTION[name] for name in ("SECRET_KEY", "JWT_SECRET")}
    done = manage("check", "--fail-level=WARNING", **{**in_container, **secrets})
    assert done.returncode == 0, done.stdout


def test_the_containers_take_every_value_from_the_example(example: dict[str, str]) -> None:
    asked_for = re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())
    assert asked_for
    assert set(asked_for) <= set(example)


def test_the_containers_run_commands_that_exist(services: dict[str, Any]) -> None:
    commands = [service["command"] for service in services.values() if "command" in service]
    assert len(commands) == 3
    for python, script, command in commands:
        assert (python, script) == ("python", "manage.py")
        assert command in get_commands()


def test_whatever_is_waited_for_is_there_and_says_how_it_is(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            waits_for_health = how["condition"] == "service_healthy"
            assert ("healthcheck" in services[name]) == waits_for_health


def test_only_the_simulator_waits_to_be_asked_for(services: dict[str, Any]) -> None:
    asked = {name for name, service in services.items() if "profiles" in service}
    assert asked == {"simulator"}


def test_the_image_has_every_application_and_may_copy_it() -> None:
    copied = set(re.findall(r"^COPY (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    own = {app.name for app in apps.get_app_configs() if Path(app.path).parent == ROOT}
    assert {*own, "templates", "manage.py", "requirements.txt"} == copied
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}


def test_the_image_has_no_embedded_server() -> None:
    assert not re.search(r"(?m)^(pixeltable|iotcore)", (ROOT / "requirements.txt").read_text())


def test_static_files_can_be_collected_for_the_image(settings: Settings, tmp_path: Path) -> None:
    storage = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", interactive=False, verbosity=0)
    assert (tmp_path / "staticfiles.json").exists()
