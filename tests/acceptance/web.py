"""The web service as a process, on the database that a test has filled."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from tests.iotplatform.processes import ROOT, environment
from tests.servers import free_port, wait_for_port

HOST = "127.0.0.1"
STOP_SECONDS = 20
# A stream that a browser left open is not waited for.
OPTIONS = ["-c", "python:iotplatform.serving", "--threads=8", "--graceful-timeout=1"]


@contextlib.contextmanager
def serving(directory: Path, **variables: str) -> Iterator[str]:
    """The address of a web server as in production; it has what the test committed.

    Tokens of the test are good there. Its log is `web.log` in `directory`.
    """
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    variables = {
        "WEB_WORKERS": "1",
        "DATABASE_URL": url.geturl(),
        "DEBUG": "0",
        "ALLOWED_HOSTS": HOST,
        "MQTT__HOST": HOST,
        "SECRET_KEY": settings.SECRET_KEY,
        "JWT_SECRET": settings.JWT_SECRET,
        **variables,
    }
    port = free_port()
    bind = f"{HOST}:{port}"
    log = directory / "web.log"
    command = ["gunicorn", "iotplatform.wsgi", "--bind", bind, *OPTIONS]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment(**variables),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_for_port(port, process, log)
            yield f"http://{bind}"
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
