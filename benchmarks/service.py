"""The web services that are compared: one process each, as production would start it."""

import http.client
import json
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.bench import ROOT, Bench
from benchmarks.fleet import EMAIL, PASSWORD
from benchmarks.process import Process
from tests.servers import free_port, wait_for_port

HOST = "127.0.0.1"
PATIENCE_SECONDS = 300
BLOCK = 1024 * 1024
COMMAND = re.compile(r"^CMD (\[.*?\])", re.MULTILINE | re.DOTALL)


class Service:
    """A web server on its database; `running` starts it, the rest asks the one that runs."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: dict[str, str],
        port: int,
        log: Path,
    ) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._directory = directory
        self._environment = environment
        self._log = log

    @contextmanager
    def running(self) -> Iterator[Process]:
        with Process(self._command, self._directory, self._environment, self._log) as process:
            wait_for_port(self.port, process.popen, self._log)
            yield process

    def log_in(self) -> str:
        """A token of the fleet's user."""
        body = json.dumps({"email": EMAIL, "password": PASSWORD})
        answer = self._request("POST", "/auth/login", body, {"Content-Type": "application/json"})
        return str(json.loads(answer)["access_token"])

    def get(self, path: str, token: str) -> bytes:
        return self._request("GET", path, None, {"Authorization": f"Bearer {token}"})

    def post(self, path: str, body: str, token: str) -> bytes:
        head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._request("POST", path, body, head)

    def count_lines(self, path: str, token: str) -> int:
        """Reads an answer of any size, and keeps none of it."""
        with self._answer("GET", path, None, {"Authorization": f"Bearer {token}"}) as response:
            blocks = iter(lambda: response.read(BLOCK), b"")
            return sum(block.count(b"\n") for block in blocks)

    def _request(self, method: str, path: str, body: str | None, head: dict[str, str]) -> bytes:
        with self._answer(method, path, body, head) as response:
            return response.read()

    @contextmanager
    def _answer(
        self, method: str, path: str, body: str | None, head: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_SECONDS)
        with closing(connection):
            connection.request(method, path, body, head)
            response = connection.getresponse()
            if response.status not in (http.client.OK, http.client.CREATED):
                raise RuntimeError(
                    f"{method} {path} of {self.name}: {response.status} {response.read(500)!r}\n"
                    f"{self._log.read_text()[-2000:]}"
                )
            yield response


def platform(bench: Bench, database: str, threads: int = 0, **variables: str) -> Service:
    """The platform as its image starts it, but with one worker, and so many `threads`."""
    port = free_port()
    environment = {
        **bench.environment(database),
        "DEBUG": "0",
        "ALLOWED_HOSTS": HOST,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET": secrets.token_urlsafe(48),
        **variables,
    }
    # The last of two numbers of workers counts; of addresses, each one would.
    more = ["--workers=1", *([f"--threads={threads}"] if threads else [])]
    command = (sys.executable, "-m", *image_command(f"{HOST}:{port}"), *more)
    return Service(
        "platform", command, ROOT, environment, port, bench.directory / f"{database}-web.log"
    )


def image_command(address: str) -> list[str]:
    """What the production image runs, but at `address`."""
    match = COMMAND.search((ROOT / "Dockerfile").read_text())
    if not match:
        raise RuntimeError("The Dockerfile has no CMD as a list.")
    command: list[str] = json.loads(match[1].replace("\\\n", ""))
    command[command.index("--bind") + 1] = address
    return command


def baseline(bench: Bench, database: str, directory: Path, python: str) -> Service:
    """The web service that the platform replaces, in `directory`, on a fresh `database`."""
    with bench.connect() as connection:
        connection.execute(f"CREATE DATABASE {database}")
    port = free_port()
    environment = {
        **bench.environment(database),
        "DATABASE_URL": bench.url(database, scheme="postgresql+asyncpg"),
        "JWT_SECRET": secrets.token_urlsafe(48),
    }
    command = (python, "-m", "uvicorn", "api:app", f"--host={HOST}", f"--port={port}")
    log = bench.directory / f"{database}-web.log"
    return Service("the service before", command, directory.resolve(), environment, port, log)
