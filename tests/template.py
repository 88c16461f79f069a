"""A database with all tables and no rows but those of migrations, which other databases copy.

Optimization: to migrate takes seconds, for each process of a test run and each run of one file.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import django
import psycopg

from iotplatform.embedded import Postgres
from iotplatform.embedded.programs import program

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "TEST_TEMPLATE"
"""Where the processes of a test run find its dump, which has its name."""
DAY_SECONDS = 86_400


def prepare(server: Postgres) -> None:
    """Has it on `server`, and beside its data a dump of it, for other servers."""
    name = f"migrated_{digest()}"
    with (server.data / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        dump = server.data / f"{name}.sql"
        if not dump.exists():
            make(server, name, dump)
    os.environ[VARIABLE] = str(dump)


def digest() -> str:
    """Of all that a fresh database depends on."""
    files = sorted(ROOT.glob("*/migrations/*.py"))
    parts = [django.__version__.encode(), *(path.read_bytes() for path in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def make(server: Postgres, name: str, dump: Path) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        for left in (name, "migrating"):
            connection.execute(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")
        connection.execute("CREATE DATABASE migrating")
        migrate(server.url_of("migrating"))
        written = dump.with_suffix(".part")
        command = [program("pg_dump"), server.url_of("migrating"), "--file", str(written)]
        subprocess.run(command, check=True)
        connection.execute(f"ALTER DATABASE migrating RENAME TO {name}")
        forget_others(connection, dump)
        written.rename(dump)


def migrate(url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "DEBUG": "1"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def forget_others(connection: psycopg.Connection[tuple[str]], dump: Path) -> None:
    """Those of other migrations, unless another run may be at work with them."""
    for old in dump.parent.glob("migrated_*.sql"):
        if time.time() - old.stat().st_mtime > DAY_SECONDS:
            old.unlink()
            connection.execute(f"DROP DATABASE IF EXISTS {old.stem} WITH (FORCE)")


def name() -> str | None:
    """The database to copy on the server of the tests, if that server is our own."""
    dump = os.environ.get(VARIABLE)
    return Path(dump).stem if dump else None


def fill(url: str) -> None:
    """Brings the new database at `url`, on any server, to where `migrate` would."""
    if dump := os.environ.get(VARIABLE):
        options = ("--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
        subprocess.run([program("psql"), url, *options, "--file", dump], check=True)
    else:
        migrate(url)
