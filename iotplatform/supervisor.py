"""Runs processes together: each waits for the one before, and the first to end ends them all."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from iotplatform import leash

STOP_SECONDS = 10
READY_SECONDS = 60
LOOK_SECONDS = 0.1

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopAskedError(Exception):
    """Somebody asked for the end: Ctrl-C, SIGTERM or a closed terminal."""


class ChildEndedError(Exception):
    """A process ended by itself or did not become ready; the message names it."""


class Child:
    """A process in a session of its own, so that Ctrl-C reaches it by our hand alone.

    `write` gets its lines. If we are killed, it gets SIGTERM.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        write: Callable[[str], None],
    ) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=100)
        self._write = write
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._copy_output, daemon=True)
        self._reader.start()

    def _copy_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)
                self._write(f"{self.name:<10} | {line.rstrip()}")

    def has_said(self, words: str) -> bool:
        """Whether one of its last hundred lines contains `words`."""
        return any(words in line for line in tuple(self._lines))

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """SIGTERM, some patience, then SIGKILL for what is left of it and of its children."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Somebody who left the group may hold the other end of the pipe for ever.
        self._reader.join(timeout=1)


class Supervisor:
    """Starts processes with `environment` added to ours; `write` gets their lines and names.

    While it is entered, signals that would end us make its waiting methods raise StopAskedError.
    """

    def __init__(self, environment: Mapping[str, str], write: Callable[[str], None]) -> None:
        self._environment = environment
        self._write = write
        self._writing = threading.Lock()
        self._stop_asked = threading.Event()
        self._watched: list[tuple[str, Callable[[], bool]]] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Supervisor":
        for number in STOP_SIGNALS:
            self._handlers[number] = signal.signal(number, lambda *_: self._stop_asked.set())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def watch(self, name: str, is_running: Callable[[], bool]) -> None:
        """From now on the end of `name` is the end of all."""
        self._watched.append((name, is_running))

    @contextmanager
    def running(
        self, name: str, command: Sequence[str], is_ready: Callable[[Child], bool]
    ) -> Iterator[None]:
        """Has `command` running inside the block, which is entered when it is ready."""
        self.say(f"{name:<10} | starting")
        child = Child(name, command, self._environment, self.say)
        try:
            self.watch(name, lambda: child.exit_code is None)
            self._wait_until(lambda: is_ready(child), f"“{name}” does not become ready")
            yield
        finally:
            child.stop()
            self.say(f"{name:<10} | stopped")

    def run(self, name: str, command: Sequence[str], good: Collection[int] = (0,)) -> None:
        """Runs `command` to its end, which has to be a good one by its exit code."""
        child = Child(name, command, self._environment, self.say)
        try:
            self._wait_until(lambda: child.exit_code is not None, f"“{name}” does not end")
        finally:
            child.stop()
        if child.exit_code not in good:
            raise ChildEndedError(f"“{name}” failed.")

    def wait(self) -> None:
        """Until something ends by itself (ChildEndedError) or a stop is asked (StopAskedError)."""
        while True:
            self._look()

    def say(self, line: str) -> None:
        # The terminal may be gone; children must not choke on that.
        with self._writing, suppress(OSError):
            self._write(line)

    def _wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            self._look()
            if time.monotonic() > deadline:
                raise ChildEndedError(f"{failure} within {READY_SECONDS} s.")

    def _look(self) -> None:
        if self._stop_asked.wait(LOOK_SECONDS):
            raise StopAskedError
        for name, is_running in self._watched:
            if not is_running():
                raise ChildEndedError(f"“{name}” has ended by itself; see its lines above.")
