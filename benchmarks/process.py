"""A server that is measured: a child process, what it costs and how it ended."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

STOP_SECONDS = 60


class Process:
    """A child process with its own children; its log is kept for the case that it fails."""

    def __init__(
        self, command: Sequence[str], directory: Path, environment: dict[str, str], log: Path
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = psutil.Popen(
                command, cwd=directory, env=environment, stdout=output, stderr=output
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait(STOP_SECONDS)

    def check(self) -> None:
        """Raises with the end of the log if the process ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"A process ended early:\n{self.log.read_text()[-2000:]}")

    def cpu_seconds(self) -> float:
        """Of all of them so far."""
        return sum(map(cpu_seconds, self._family()))

    def peak_bytes(self) -> int:
        """The most memory that one of them ever held."""
        return max(peak_bytes(each.pid) for each in self._family())

    def _family(self) -> Iterator[psutil.Process]:
        yield self.popen
        yield from self.popen.children(recursive=True)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
