"""Is this process alive, and is the platform ready?"""

import threading
import time
from functools import cached_property
from typing import Any

import psycopg
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from devices.daemon.heartbeat import SILENT_AFTER
from devices.models import ProcessKind
from iotplatform.asking import asking, connected

OK = "ok"
AWAY = "It does not answer: see whether PostgreSQL runs, and look into its log."
LACKING = "Some are missing: run “manage.py migrate”."
NOT_KNOWN = "Nobody can tell before the others are ok."
SILENT = {
    kind: f"None has spoken for a minute: start “manage.py run_{kind}”, or look into its log."
    for kind in ProcessKind
}
KEPT_SECONDS = 1.0
HAS_TABLE = "SELECT to_regclass('django_migrations') IS NOT NULL"
APPLIED = "SELECT app, name FROM django_migrations"
LIVING = "SELECT DISTINCT kind FROM devices_heartbeat WHERE beat_at > now() - %s"


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process can answer; says nothing about the database or the broker."""
    return JsonResponse({"status": OK})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 if the whole platform works, or 503 with what is to be done; says no names."""
    checks = readiness.checks()
    is_ready = set(checks.values()) == {OK}
    body = {"status": OK if is_ready else "not ready", "checks": checks}
    return JsonResponse(body, status=200 if is_ready else 503)


class Readiness:
    """What was found out last. For a second it is good enough: anybody may ask, and each question
    is a new connection to the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checks: dict[str, str] = {}
        self._asked_at = 0.0
        self._is_migrated = False

    def checks(self) -> dict[str, str]:
        """By what was checked: “ok”, or what is to be done."""
        with self._lock:
            if not self._checks or time.monotonic() - self._asked_at > KEPT_SECONDS:
                self._checks = self._ask()
                self._asked_at = time.monotonic()
            return self._checks

    def _ask(self) -> dict[str, str]:
        checks = dict.fromkeys(("database", "migrations", *map(str, ProcessKind)), NOT_KNOWN)
        try:
            with connected() as own, asking(own) as cursor:
                checks["database"] = OK
                checks["migrations"] = self._migrations(cursor)
                if checks["migrations"] == OK:
                    checks |= processes(cursor)
        except psycopg.Error:
            checks["database"] = AWAY
        return checks

    def _migrations(self, cursor: psycopg.Cursor[Any]) -> str:
        # None is ever taken back while we run.
        if not self._is_migrated:
            applied = set()
            if cursor.execute(HAS_TABLE).fetchone() == (True,):
                applied = set(cursor.execute(APPLIED).fetchall())
            self._is_migrated = self._wanted <= applied
        return OK if self._is_migrated else LACKING

    @cached_property
    def _wanted(self) -> set[Any]:
        """The last migrations of each application, without which the others are of no use."""
        return set(MigrationLoader(None).graph.leaf_nodes())


def processes(cursor: psycopg.Cursor[Any]) -> dict[str, str]:
    living = {kind for (kind,) in cursor.execute(LIVING, [SILENT_AFTER]).fetchall()}
    return {str(kind): OK if kind in living else SILENT[kind] for kind in ProcessKind}


readiness = Readiness()
"""That of this process."""
