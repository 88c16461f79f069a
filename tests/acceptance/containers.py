"""Commands of the guides for `docker compose`, executed on a server like that of the container."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from iotplatform.embedded import Postgres
from iotplatform.embedded.programs import binaries
from tests.iotplatform.processes import ROOT, environment

DOCKER = """#!/bin/bash
# “docker compose …”, with the programs of the container on this machine.
set -e
[[ $1 == compose ]] && shift
case "$1" in
    exec)
        shift 2
        [[ $1 == -e ]] && export "$2" && shift 2
        [[ $1 == postgres ]] && exec "${@:2}" ;;
    config) [[ -e volume ]] && echo mosquitto; exit 0 ;;
    run)
        case "$*" in
            "run --rm migrate") exec "$PYTHON" "$ROOT/manage.py" migrate --verbosity=0 ;;
            *" mosquitto-accounts cat "*) exec cat volume/"${@: -1}" ;;
            *" mosquitto-accounts sh -c "*) exec sh -c "${@: -1}" ;;
            *" --entrypoint bash "*)
                while [[ $1 != postgres || $2 != -euc ]]; do
                    [[ $1 == -e ]] && export "$2"
                    shift
                done
                exec bash "${@:2}" ;;
        esac ;;
    build | up | stop | restart) exit 0 ;;
esac
echo "There is no such container here: $*" >&2
exit 64
"""


HAND_OVER = """
SELECT format('ALTER TABLE %s OWNER TO iotplatform', oid::regclass) FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('ALTER FUNCTION %s OWNER TO iotplatform', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
"""


def block(guide: str, name: str) -> str:
    """The commands in docs/`guide` below the comment `name`."""
    text = (ROOT / "docs" / guide).read_text()
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found[1]


def prepare(server: Postgres, template: str = "template0") -> None:
    """Make the database of the platform, as the container does at its first start.

    From a `template` that has tables, these are the platform's own, too.
    """
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE iotplatform TEMPLATE {template}")
    program = [str(binaries() / "psql"), "-q", server.url_of("iotplatform"), "-f"]
    variables = {**os.environ, "POSTGRES_PASSWORD": "s3cret"}
    subprocess.run([*program, "deploy/postgres/role.sql"], cwd=ROOT, env=variables, check=True)
    with psycopg.connect(server.url_of("iotplatform"), autocommit=True) as connection:
        for (statement,) in connection.execute(HAND_OVER).fetchall():
            connection.execute(statement)


class Shell:
    """A person's shell in `directory`, a checkout beside which `server` runs in a container."""

    def __init__(self, directory: Path, server: Postgres) -> None:
        self.directory = directory
        self.server = server
        programs = directory / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        (programs / "docker").write_text(DOCKER)
        (programs / "docker").chmod(0o755)

    def run(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        url = self.server.url_of("iotplatform").replace("postgres@", "iotplatform@")
        path = f"{self.directory / 'bin'}:{binaries()}:{os.environ['PATH']}"
        known = {"PGHOST": str(self.server.socket_dir), "PYTHON": sys.executable, "PATH": path}
        known |= {"ROOT": str(ROOT), "DATABASE_URL": url, "DEBUG": "1", "TZ": "UTC"}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.directory,
            env=environment(**known | variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def must(self, commands: str, **variables: str) -> str:
        """What the commands say; they have to end well."""
        done = self.run(commands, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def working_on(
    server: Postgres, database: str, unblocked: Any, user: str = "postgres"
) -> Iterator[None]:
    """Django in this process works on `database` inside the block."""
    settings = connections.settings["default"]
    place = {"HOST": str(server.socket_dir), "PORT": "5432", "USER": user, "NAME": database}
    with unblocked, pytest.MonkeyPatch.context() as patch:
        connections.close_all()
        for name, value in place.items():
            patch.setitem(settings, name, value)
        yield
        connections.close_all()


def fetch(server: Postgres, database: str, query: str) -> list[Any]:
    with psycopg.connect(server.url_of(database), autocommit=True) as connection:
        return connection.execute(query).fetchall()


TABLES = """
SELECT relname FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
ORDER BY relname
"""


def contents(server: Postgres, database: str) -> dict[str, Any]:
    """Table → how many rows it has, and one sum over all that is in them."""
    found = {}
    for (table,) in fetch(server, database, TABLES):
        query = f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} AS t"
        found[table] = fetch(server, database, query)[0]
    return found
