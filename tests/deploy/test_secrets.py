"""deploy/secrets.sh: one command makes all secrets, and keeps what is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT, manage
from tests.iotplatform.test_deployment import SECRETS

FOLDER = "/run/secrets/"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "secrets.sh", tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def run(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As “sh deploy/secrets.sh …”, from anywhere."""
    return subprocess.run(
        ["sh", str(checkout / "deploy" / "secrets.sh"), *words],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def settings(checkout: Path) -> dict[str, str]:
    return compose.env_file(checkout / ".env")


def test_every_secret_is_made_and_is_another(checkout: Path) -> None:
    done = run(checkout, "iot.example.com")
    assert done.returncode == 0, done.stderr
    made = settings(checkout)
    secrets = [made[name] for name in SECRETS]
    assert len(set(secrets)) == len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)
    assert not any(secret in done.stdout for secret in secrets)
    assert (checkout / ".env").stat().st_mode & 0o077 == 0
    assert made["ALLOWED_HOSTS"] == "iot.example.com"
    assert made["CSRF_TRUSTED_ORIGINS"] == made["PUBLIC_URL"] == "https://iot.example.com"


def test_once_more_changes_nothing(checkout: Path) -> None:
    run(checkout, "iot.example.com")
    before = (checkout / ".env").read_text()
    assert run(checkout, "iot.example.com").stdout == ""
    assert "PUBLIC_URL=https://iot.example.com in .env stays" in run(checkout, "b.example").stderr
    assert (checkout / ".env").read_text() == before


def test_a_name_that_is_said_later_takes_the_place_of_the_defaults(checkout: Path) -> None:
    run(checkout)
    of_before = settings(checkout)
    assert "set: ALLOWED_HOSTS=iot.example.com" in run(checkout, "iot.example.com").stdout
    site = "https://iot.example.com"
    names = {"ALLOWED_HOSTS": "iot.example.com", "CSRF_TRUSTED_ORIGINS": site, "PUBLIC_URL": site}
    assert settings(checkout) == of_before | names


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("A=1\nexport JWT_SECRET=hidden\n", "line 2: export JWT_SECRET\n"),
        ("JWT_SECRET = hidden\n", "line 1: JWT_SECRET \n"),
        ("# Ours\r\nJWT_SECRET=hidden\r\n", "line 1\nline 2: JWT_SECRET\n"),
        ('JWT_SECRET: "hidden=hidden"\n', "line 1\n"),
    ],
)
def test_a_secret_that_it_does_not_see_is_not_made_beside_it(
    checkout: Path, lines: str, named: str
) -> None:
    (checkout / ".env").write_text(lines, newline="")
    done = run(checkout)
    assert done.returncode == 1
    assert done.stderr.endswith(f"These are not:\n{named}")
    assert (checkout / ".env").read_bytes() == lines.encode()


@pytest.mark.parametrize(
    ("profiles", "access", "end"),
    [("emqx,monitoring", "emqx", 0), ("mosquitto", "emqx", 1), ("emqx", "open", 1)],
)
def test_a_broker_that_lets_no_device_in_is_said_before_it_starts(
    checkout: Path, profiles: str, access: str, end: int
) -> None:
    (checkout / ".env").write_text(f"COMPOSE_PROFILES={profiles}\nMQTT__ACCESS={access}\n")
    done = run(checkout)
    assert done.returncode == end
    assert ("both have to name the same broker" in done.stderr) == bool(end)
    assert len(settings(checkout)["JWT_SECRET"]) == 64


def test_what_is_there_stays_and_what_is_new_is_added(checkout: Path) -> None:
    (checkout / ".env").write_text("SECRET_KEY=of before\nMQTT__ACCESS=open\nOWN=1\nJWT_SECRET=")
    done = run(checkout)
    made = settings(checkout)
    assert (made["SECRET_KEY"], made["OWN"]) == ("of before", "1")
    assert len(made["JWT_SECRET"]) == 64
    assert made.keys() == settings_of_example() | {"OWN"}
    assert "added: COMPOSE_PROFILES=emqx" in done.stdout
    assert done.returncode == 1


def settings_of_example() -> set[str]:
    return set(compose.env_file(ROOT / ".env.example"))


@pytest.mark.parametrize("name", ["--file", "a b", "x|y", "$(id)"])
def test_what_is_no_name_is_refused(checkout: Path, name: str) -> None:
    done = run(checkout, name)
    assert done.returncode == 2
    assert "Usage" in done.stderr
    assert not (checkout / ".env").exists()


def check(checkout: Path, project: dict[str, Any]) -> str:
    """What “manage.py check” has against the settings of the web server's container."""
    variables = compose.environment(project, "web", checkout / ".env")
    here = {
        name: value.replace(FOLDER, f"{checkout}/secrets/") for name, value in variables.items()
    }
    done = manage("check", "--fail-level=WARNING", **here)
    return done.stdout if done.returncode else ""


def test_the_platform_starts_with_what_is_made(checkout: Path) -> None:
    run(checkout, "iot.example.com")
    assert check(checkout, compose.load(compose.BASE, **settings(checkout))) == ""


def test_the_platform_starts_with_secrets_in_files(checkout: Path) -> None:
    run(checkout, "iot.example.com")
    of_before = settings(checkout)
    done = run(checkout, "--files")
    assert done.returncode == 0, done.stderr
    assert {settings(checkout)[name] for name in SECRETS} == {""}
    folder = checkout / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = {file.name: file.read_text() for file in folder.iterdir()}
    assert {name: kept[name.lower()] for name in SECRETS} == {n: of_before[n] for n in SECRETS}
    # Accounts in the containers read them; the folder keeps out all others.
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
    project = compose.load(compose.BASE, compose.SECRETS, **settings(checkout))
    named = {each["file"] for each in project["secrets"].values()}
    assert named == {f"./secrets/{name}" for name in kept}
    assert check(checkout, project) == ""
    assert run(checkout, "--files").stdout == ""
    assert {file.name: file.read_text() for file in folder.iterdir()} == kept


def test_with_files_no_secret_is_in_the_environment_of_a_container(checkout: Path) -> None:
    run(checkout, "--files")
    project = compose.load(compose.BASE, compose.SECRETS, **settings(checkout))
    for name, service in project["services"].items():
        variables = compose.environment(project, name, checkout / ".env")
        places = [value for value in variables.values() if value.startswith(FOLDER)]
        mounted = set(service.get("secrets", []))
        if name == "prometheus":
            assert f"{FOLDER}{mounted.pop()}" in service["entrypoint"][-1]
        assert {place.removeprefix(FOLDER) for place in places} == mounted, name
        secret = {"API_SECRET", "HOOK_SECRET", "COOKIE", *SECRETS} & variables.keys()
        assert {variables[each] for each in secret} <= {""}, name
