"""How gunicorn serves: gunicorn -c python:iotplatform.serving iotplatform.wsgi

What its command line says goes before. In a container it has to say --bind 0.0.0.0:8000, for BIND
and PORT are there what the machine around it listens on.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from gunicorn import glogging
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess, values

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")

LEFT_BYTES, LEFT_SECONDS = 64 * 1024 * 1024, 5.0
"""What is read of a body after its answer, and for how long."""
BLOCK = 64 * 1024
MEMORY = Path("/dev/shm")
"""Files that are in no file system on disk, where the system has such a place."""


def address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


bind = address(settings.BIND, settings.PORT)
worker_class = "gthread"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
# Less than the ten seconds that Docker grants between SIGTERM and SIGKILL.
graceful_timeout = 5
# A second way in, which nobody here needs.
control_socket_disable = True
# A worker that waits for a disk to say that it lives would be taken for dead.
worker_tmp_dir = str(MEMORY) if MEMORY.is_dir() else None
loglevel = settings.LOG_LEVEL.lower()
logconfig_dict = settings.LOGGING | {
    "loggers": {f"gunicorn.{each}": {"propagate": True} for each in ("error", "access")}
}


class Log(glogging.Logger):
    """Says nothing of requests unless --access-logfile asks for it."""

    def access(self, *request: Any) -> None:
        if self.cfg.accesslog:
            super().access(*request)


logger_class = Log


def on_starting(server: Arbiter) -> None:
    """Make the place where workers keep what they count, for any of them to tell of all."""
    place = tempfile.mkdtemp(prefix="iotplatform-metrics-", dir=worker_tmp_dir)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = place


def on_exit(server: Arbiter) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Give `worker` the lowest number that none of the others has."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Have it count on where one that ended left off.

    By process ids, as the library would have it, there were more files with every worker that ever
    ended, until the memory for them is full.
    """
    values.ValueClass = values.MultiProcessValue(lambda: worker.number)


class Left:
    """The socket of a client for what is left of its body: no more than LEFT_BYTES, which have to
    come within LEFT_SECONDS altogether, however little at a time."""

    def __init__(self, whole: socket.socket) -> None:
        self._whole = whole
        self._bytes, self._end = LEFT_BYTES, time.monotonic() + LEFT_SECONDS

    def recv(self, size: int) -> bytes:
        """Raises OSError when there is too much of it, or too late."""
        seconds = self._end - time.monotonic()
        if seconds <= 0 or self._bytes <= 0:
            raise TimeoutError
        self._whole.settimeout(seconds)
        try:
            taken = self._whole.recv(size)
        finally:
            self._whole.settimeout(None)
        self._bytes -= len(taken)
        return taken


def post_request(worker: Worker, request: Request, environ: Any, response: Any) -> None:
    """Take in what is left of a body that nobody read, within reason.

    Otherwise the connection would break under whoever still sends, the proxy above all, and the
    answer, which says that this is too large, would be lost.
    """
    whole = request.unreader.sock
    request.unreader.sock = Left(whole)
    try:
        while request.body.read(BLOCK):
            pass
    except (OSError, ParseException):
        # Or gunicorn would wait for more of it before it closes, all other connections with it.
        with contextlib.suppress(OSError):
            whole.shutdown(socket.SHUT_RD)
    finally:
        request.unreader.sock = whole


def child_exit(server: Arbiter, worker: Worker) -> None:
    """What it had open ended with it."""
    multiprocess.mark_process_dead(worker.number)
