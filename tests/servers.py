"""Real servers for tests, each in a directory and on a port of its own, stopped with its block."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

MOSQUITTO = "/usr/sbin/mosquitto"
START_SECONDS = 10


def plugin() -> Path:
    """The library of Mosquitto's dynamic security; Debian has a folder for each kind of machine."""
    return next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_pair() -> int:
    """A free TCP port of 127.0.0.1 whose upper neighbour is free as well."""
    while True:
        port = free_port()
        with socket.socket() as neighbour, contextlib.suppress(OSError):
            neighbour.bind(("127.0.0.1", port + 1))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once `port` accepts connections; raises with the log if `process` ends before."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionError:
            time.sleep(0.01)
    raise RuntimeError(f"No answer on port {port}; {log} says:\n{log.read_text()}")


class Mosquitto:
    """Debian's mosquitto below `directory`; the same port and data over stops, kills and restarts.

    `persistence` writes the sessions to disk after every change and at a stop. `users` maps names
    to passwords; without it everybody may connect. With `dynamic_security`, only the accounts in
    that file may. `config` lines are added below the listener, so that they may describe its TLS.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        *,
        persistence: bool = False,
        users: dict[str, str] | None = None,
        dynamic_security: Path | None = None,
        config: Sequence[str] = (),
    ) -> None:
        self.directory = directory / "mosquitto"
        self.port = free_port()
        self.log = self.directory / "mosquitto.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._persistence = persistence
        self._users = users
        self._dynamic_security = dynamic_security
        self._config = config

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "mosquitto.conf"
        file.write_text("\n".join([*self._lines(), ""]))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-c", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_for_port(self.port, self.process, self.log)

    def stop(self) -> None:
        """SIGTERM: sessions are saved if `persistence` is on."""
        if self.process:
            self.process.terminate()
            self.process.wait(START_SECONDS)
            self.process = None

    def kill(self) -> None:
        """kill -9: what was not saved is lost."""
        if self.process:
            self.process.kill()
            self.process.wait(START_SECONDS)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _lines(self) -> list[str]:
        lines = [
            # As root it would become the user “mosquitto”, who may not read tests' directories.
            "user root",
            "log_dest stderr",
            "max_queued_messages 0",
            "max_inflight_messages 65535",
            "set_tcp_nodelay true",
            f"allow_anonymous {'false' if self._users or self._dynamic_security else 'true'}",
        ]
        if self._dynamic_security:
            lines += [
                f"plugin {plugin()}",
                f"plugin_opt_config_file {self._dynamic_security}",
                "check_retain_source true",
            ]
        if self._persistence:
            lines += [
                "persistence true",
                f"persistence_location {self.directory}",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        if self._users:
            lines.append(f"password_file {self._password_file()}")
        return [*lines, f"listener {self.port} {self.host}", *self._config]

    def _password_file(self) -> Path:
        file = self.directory / "passwords"
        file.write_text("".join(f"{name}:{secret}\n" for name, secret in self._users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)
        return file
