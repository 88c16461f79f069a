"""Secrets of a trial: random ones that are made once and kept in a directory on this machine."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def kept_secret(directory: Path, name: str) -> str:
    """What the file `name` keeps, which only its owner may read; it is made if there is none."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    if not path.exists():
        # Written apart and then named: of two processes that start at once both read one secret.
        with NamedTemporaryFile("w", dir=directory) as made, suppress(FileExistsError):
            made.write(secrets.token_urlsafe(48))
            made.flush()
            os.link(made.name, path)
    return path.read_text()
