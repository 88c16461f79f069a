"""The steps of the Dockerfile, done in a directory: what a builder would do, without one.

`/app` and `/venv` lie below that directory. A stage that ends is moved away, so that the next finds
only what it copies from there. The base image is this machine's Python, and pip has its settings
and its cache from here.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.iotplatform.processes import ROOT

# Registries are found and trusted as this machine says.
OF_THIS_MACHINE = re.compile(r"HOME|(PIP_|https?_proxy|no_proxy|SSL_CERT_)\w*", re.IGNORECASE)
CACHED = {"PIP_NO_CACHE_DIR": "0"}
# Accounts of this machine are no business of a test.
ACCOUNTS = re.compile(r"^useradd .*| --(owner|group)=app")


def instructions() -> list[tuple[str, str]]:
    """(keyword, the rest) of every instruction in the Dockerfile."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    found = re.findall(r"^([A-Z]+)\s+(.*)$", text.replace("\\\n", " "), re.MULTILINE)
    return [(keyword, rest) for keyword, rest in found]


@dataclass
class Stage:
    """What a stage leaves: files below `root`, an environment, and how to start."""

    root: Path
    environment: dict[str, str]
    directory: Path
    user: str = "root"
    command: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class Builder:
    """Does the instructions below `directory`; the last stage lies in `directory / "root"`."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.left = directory / "left"
        self.tools = directory / "tools"
        self.stages: dict[str, Stage] = {}
        self.stage: Stage | None = None
        self.name = ""

    def build(self) -> Stage:
        self._find_tools()
        for keyword, rest in instructions():
            getattr(self, f"_{keyword.lower()}")(rest)
        shutil.rmtree(self.left)
        return self._current

    @property
    def _current(self) -> Stage:
        assert self.stage
        return self.stage

    def _find_tools(self) -> None:
        """The Python of the base image, and nothing of the environment that this test runs in."""
        self.tools.mkdir(parents=True)
        for name in ("python", "pip"):
            (self.tools / name).symlink_to(Path(sys.executable).with_name(name))

    def _here(self, text: str) -> str:
        """`text` with the image's absolute paths as they are here."""
        return re.sub(r"(?<![\w./])(/(?:app|venv)\b)", rf"{self.root}\1", text)

    def _from(self, rest: str) -> None:
        base, _, name = rest.partition(" AS ")
        if self.stage:
            self.left.mkdir(exist_ok=True)
            self.stages[self.name].root = self.root.rename(self.left / self.name)
        path = f"{self.tools}:/usr/local/bin:/usr/bin:/bin"
        self.name, self.stage = name, Stage(self.root, {"PATH": path}, self.root)
        if former := self.stages.get(base):
            shutil.copytree(former.root, self.root, symlinks=True)
            self.stage.environment = dict(former.environment)
            self.stage.directory = former.directory
        self.root.mkdir(exist_ok=True)
        self.stages[name] = self.stage

    def _env(self, rest: str) -> None:
        environment = self._current.environment
        for name, value in (pair.split("=", 1) for pair in shlex.split(rest)):
            environment[name] = self._here(value).replace("$PATH", environment["PATH"])

    def _arg(self, rest: str) -> None:
        name, value = shlex.split(rest)[0].split("=", 1)
        self._current.environment[name] = value

    def _label(self, rest: str) -> None:
        environment = self._current.environment
        for name, value in (pair.split("=", 1) for pair in shlex.split(rest)):
            self._current.labels[name] = re.sub(
                r"\$(\w+)", lambda found: environment[found[1]], value
            )

    def _workdir(self, rest: str) -> None:
        self._current.directory = Path(self._here(rest))
        self._current.directory.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        stage = re.match(r"--from=(\w+) ", rest)
        source, target = rest.split()[-2:]
        if stage:
            origin = self.stages[stage[1]].root / source.lstrip("/")
        else:
            allowed = (ROOT / ".dockerignore").read_text().splitlines()
            assert f"!{source}" in allowed, f"{source} is not in the build's context"
            origin = ROOT / source
        copy(origin, self._current.directory / self._here(target))

    def _run(self, rest: str) -> None:
        given = {name: text for name, text in os.environ.items() if OF_THIS_MACHINE.match(name)}
        subprocess.run(
            ["sh", "-ec", ACCOUNTS.sub("", self._here(rest))],
            cwd=self._current.directory,
            env=given | self._current.environment | CACHED,
            check=True,
        )

    def _user(self, rest: str) -> None:
        self._current.user = rest

    def _expose(self, rest: str) -> None:
        assert rest == "8000"

    def _cmd(self, rest: str) -> None:
        self._current.command = shlex.split(rest.strip("[]").replace(",", " "))


def copy(origin: Path, target: Path) -> None:
    if origin.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(origin, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy(origin, target)
