"""The example settings and the image, read: what they name is there, and nothing is forgotten."""

import re
from pathlib import Path

import pytest
from django.apps import apps

from iotplatform import settings as platform_settings
from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT, manage
from tests.iotplatform.test_checks import PRODUCTION, ids

OF_ACCESS = (
    *("MQTT__INGEST_PASSWORD", "MQTT__DISPATCH_PASSWORD", "MQTT__HOOK_SECRET"),
    "EMQX__API_SECRET",
)
SECRETS = (
    *("SECRET_KEY", "JWT_SECRET", "POSTGRES_PASSWORD", "EMQX__COOKIE"),
    *("METRICS_TOKEN", *OF_ACCESS),
)
COMPOSE_FILES = (compose.BASE, compose.DEMO, compose.LOCAL, compose.SECRETS)
READ_BY_COMPOSE_ITSELF = {"COMPOSE_PROFILES"}


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    return compose.env_file(ROOT / ".env.example")


@pytest.fixture(scope="module")
def in_container() -> dict[str, str]:
    """The configuration of the containers, with the password of the database filled in."""
    return compose.environment(compose.load(compose.BASE, POSTGRES_PASSWORD="s3cret"), "web")


def read_by_settings() -> set[str]:
    source = Path(platform_settings.__file__).read_text()
    return set(re.findall(r'(?:read\([\w.]+(?:\([^)]*\))?, |secret\(|env\.str\()"(\w+)"', source))


def asked_for(*files: str) -> set[str]:
    """Variables that stand in Compose files."""
    texts = "".join((ROOT / file).read_text() for file in files)
    return set(re.findall(r"(?<!\$)\$\{(\w+)", texts))


def test_the_example_has_every_setting_and_nothing_that_nobody_reads(
    example: dict[str, str],
) -> None:
    assert len(read_by_settings()) > 20
    by_compose = asked_for(*COMPOSE_FILES) | READ_BY_COMPOSE_ITSELF
    assert read_by_settings() | by_compose == set(example)


def test_what_compose_does_without_the_example_is_what_stands_there(
    example: dict[str, str],
) -> None:
    texts = "".join((ROOT / file).read_text() for file in COMPOSE_FILES)
    # In the demo MQTT__PORT is in two places.
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^${}]+)\}", texts))
    assert len(defaults) > 20
    assert {name: example[name] for name in defaults} == defaults


def test_the_example_has_no_secret(example: dict[str, str]) -> None:
    assert {example[name] for name in SECRETS} == {""}


def test_the_unchanged_example_is_refused(in_container: dict[str, str]) -> None:
    output = manage("check", **in_container).stdout
    assert ids(output) == {"E001", "E016"}
    assert "SECRET_KEY: It is not set." in output
    assert "JWT_SECRET: It is not set." in output
    assert all(f"{name} is shorter" in output for name in OF_ACCESS)


def test_the_example_with_secrets_is_accepted(in_container: dict[str, str]) -> None:
    secrets = {name: PRODUCTION[name] for name in ("SECRET_KEY", "JWT_SECRET")}
    secrets |= {name: f"{name} of 32 bytes or more" for name in OF_ACCESS}
    done = manage("check", "--fail-level=WARNING", **{**in_container, **secrets})
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", [None, compose.DEMO, compose.SECRETS])
def test_what_the_containers_set_is_read_by_the_settings(file: str | None) -> None:
    project = compose.load(compose.BASE, *filter(None, [file]))
    for service in compose.platform_services(project).values():
        names = {name.removesuffix("_FILE") for name in service["environment"]}
        # What begins with TINI is for Docker's own first process.
        assert {name for name in names if not name.startswith("TINI_")} <= read_by_settings()


def test_the_image_has_every_application_and_may_copy_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", dockerfile, re.MULTILINE))
    own = {app.name for app in apps.get_app_configs() if Path(app.path).parent == ROOT}
    assert {*own, "templates", "locale", "LICENSE", "manage.py", "requirements.txt"} == copied
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}


def test_the_base_of_the_image_has_its_version_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    outside = [name for name in bases if name != "base"]
    assert [re.sub(r"\d+", "N", name) for name in outside] == ["python:N.N.N-slim-trixie"]


def test_the_image_has_no_embedded_server() -> None:
    assert not re.search(r"(?m)^(pixeltable|iotcore)", (ROOT / "requirements.txt").read_text())
