"""The processes of the platform on the home page: whether they live, and keep up."""

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import moment
from accounts.models import User
from accounts.words import number
from devices.daemon.heartbeat import SILENT_AFTER
from devices.models import ProcessKind, visibility
from iotplatform.home.shown import Trouble

COUNTED = 1_000
SHOWN = 20
LATE_AFTER = timedelta(minutes=1)
"""Work that waits for so long says that the platform does not keep up."""

# The first of the index queue_due, whoever's it is: dispatchers know no tenants.
HEALTH = """
SELECT waiting.*, name, kind, beat_at, waiting_since, detail
FROM (SELECT
    (SELECT min(look_at) FROM devices_devicequeue WHERE look_at IS NOT NULL) AS due,
    (SELECT count(*) FROM (
        SELECT FROM devices_brokerchange
        WHERE tenant_id = %(tenant)s OR %(all_tenants)s LIMIT %(counted)s
    ) AS few) AS changes
) AS waiting
LEFT JOIN (SELECT * FROM devices_heartbeat ORDER BY beat_at DESC LIMIT %(shown)s) AS beat ON true
ORDER BY beat_at DESC
"""

NEVER = {
    ProcessKind.INGESTOR: gettext_lazy(
        "No ingestor is at work, so nothing that devices publish is stored: start "
        "“manage.py run_ingestor”."
    ),
    ProcessKind.DISPATCHER: gettext_lazy(
        "No dispatcher is at work, so no command leaves: start “manage.py run_dispatcher”."
    ),
}
SILENT = {
    ProcessKind.INGESTOR: gettext_lazy(
        "No ingestor has spoken for {time}: start “manage.py run_ingestor”, or look into its log."
    ),
    ProcessKind.DISPATCHER: gettext_lazy(
        "No dispatcher has spoken for {time}: start “manage.py run_dispatcher”, or look into its "
        "log."
    ),
}
CUT_OFF = {
    ProcessKind.INGESTOR: gettext_lazy("The ingestor has no connection to the broker."),
    ProcessKind.DISPATCHER: gettext_lazy("The dispatcher has no connection to the broker."),
}
LATE = {
    ProcessKind.INGESTOR: gettext_lazy("Messages have been waiting to be stored for {time}."),
    ProcessKind.DISPATCHER: gettext_lazy("Commands have been waiting to be sent for {time}."),
}


class Beat(NamedTuple):
    """The last sign of life of a process."""

    name: str
    kind: str
    beat_at: datetime
    waiting_since: datetime | None
    detail: dict[str, Any]


class Service(NamedTuple):
    """What is known of all processes of one kind."""

    kind: ProcessKind
    beat: Beat | None
    lives: bool
    waiting_since: datetime | None
    problem: str
    rate: str

    @property
    def when(self) -> SafeString | str:
        return moment(self.beat.beat_at if self.beat else None)

    @property
    def waits(self) -> SafeString | str:
        return moment(self.waiting_since)

    @property
    def colour(self) -> str:
        if not self.problem:
            return "success"
        return "warning" if self.lives else "danger"

    @property
    def state(self) -> str:
        if not self.problem:
            return _("Works")
        return _("Troubled") if self.lives else _("Silent")


class Health(NamedTuple):
    """The processes, how many changes the broker has not been told, and which process is missing
    where others of its kind go on."""

    services: list[Service]
    changes: int
    troubles: list[Trouble]


def health_of(user: User, now: datetime) -> Health:
    """How the platform is. The names of its machines are for platform staff."""
    due, changes, beats = _asked(user)
    services = []
    for kind in ProcessKind:
        own = [beat for beat in beats if beat.kind == kind]
        since = [beat.waiting_since for beat in own if beat.waiting_since and _lives(beat, now)]
        if kind == ProcessKind.DISPATCHER and due:
            since = [due]
        service = _service(kind, own, min(since, default=None), now)
        # How much it does, it does for all tenants.
        services.append(service if user.sees_all_tenants else service._replace(rate=""))
    return Health(services, changes, _missing(beats, now) if user.is_superuser else [])


def _asked(user: User) -> tuple[datetime | None, int, list[Beat]]:
    with connection.cursor() as cursor:
        cursor.execute(HEALTH, {**visibility(user), "counted": COUNTED, "shown": SHOWN})
        rows = cursor.fetchall()
    due, changes = rows[0][:2]
    beats = [
        Beat(name, kind, beat_at, waiting_since, json.loads(detail))
        for _due, _changes, name, kind, beat_at, waiting_since, detail in rows
        if name
    ]
    return due, changes, beats


def _service(
    kind: ProcessKind, beats: list[Beat], waiting_since: datetime | None, now: datetime
) -> Service:
    """Of the newest sign first."""
    living = [beat for beat in beats if _lives(beat, now)]
    late_since = waiting_since if waiting_since and now - waiting_since > LATE_AFTER else None
    if not beats:
        problem = str(NEVER[kind])
    elif not living:
        problem = str(SILENT[kind]).format(time=timesince(beats[0].beat_at, now))
    elif not any(beat.detail.get("connected") for beat in living):
        problem = str(CUT_OFF[kind])
    else:
        waits = timesince(late_since, now) if late_since else ""
        problem = str(LATE[kind]).format(time=waits) if waits else ""
    rate = sum(beat.detail.get("rate", 0) for beat in living)
    shown = _("{rate} messages a second").format(rate=number(round(rate))) if rate >= 1 else ""
    newest = beats[0] if beats else None
    return Service(kind, newest, bool(living), late_since, problem, shown)


def _lives(beat: Beat, now: datetime) -> bool:
    return now - beat.beat_at < SILENT_AFTER


def _missing(beats: list[Beat], now: datetime) -> list[Trouble]:
    """Processes that did not end in order, and are silent."""
    why = _("It ended without a word, or hangs.")
    return [
        Trouble(beat.beat_at, _("Process"), "warning", beat.name, why)
        for beat in beats
        if not _lives(beat, now)
    ]
