"""What “manage.py check --deploy” says, and who else can read the files with secrets."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks

from iotplatform.doctor.finding import Finding, ok, problem, warning
from iotplatform.environment import BASE_DIR, env

HANDED_OUT = Path("/run/secrets")
"""Where Docker puts secrets: readable by all, but only in the container that they are for."""

NOT_SEEN = "There are no such files here. On the machine: ls -ld .env secrets"
"""In a container, which is handed what is in them, they are not to be seen."""


def configuration() -> Iterator[Finding]:
    all_found = checks.run_checks(include_deployment_checks=not settings.DEBUG)
    found = [message for message in all_found if not message.is_silenced()]
    for message in found:
        make = problem if message.level >= checks.ERROR else warning
        first, *_ = str(message.msg).splitlines()
        yield make("configuration", f"{first} ({message.id})", str(message.hint or ""))
    if settings.DEBUG and settings.DATABASE_URL:
        said = "DEBUG is on: errors show the settings to whoever sees them."
        yield warning("configuration", said, "Set DEBUG=0, unless this is a trial.")
    elif not found:
        said = "“manage.py check” has nothing to say."
        yield ok("configuration", f"A trial (DEBUG). {said}" if settings.DEBUG else said)


def files() -> Iterator[Finding]:
    """Whether they can be read by users of this machine whom they do not concern."""
    known = [path for path in with_secrets() if path.is_file()]
    readable = [path for path in known if path.stat().st_mode & stat.S_IROTH]
    for path in readable:
        said = f"{path} can be read by every user of this machine."
        yield warning("secrets", said, f"chmod o-rwx {path}")
    if not known:
        yield ok("secrets", NOT_SEEN)
    elif not readable:
        yield ok("secrets", f"Others cannot read {', '.join(map(str, known))}.")


def with_secrets() -> Iterator[Path]:
    yield BASE_DIR / ".env"
    for name in env.ENVIRON.files_cache:
        path = Path(os.environ[f"{name}_FILE"])
        if not path.is_relative_to(HANDED_OUT):
            yield path
    if settings.DEBUG:
        yield from (settings.LOCAL_DIR / name for name in ("secret_key", "jwt_secret"))
