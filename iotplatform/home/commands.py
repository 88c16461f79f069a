"""Commands on the home page: how many are how far, and which ones came to a bad end last."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from accounts.models import User
from accounts.words import number
from devices.models import ENDED, Command, CommandStatus
from iotplatform.home.shown import Card, Trouble, list_of, named, page_of

LOOKED_AT = 10_000
"""So many of the newest commands are looked at: a day may have millions."""
SHOWN = 5
DAY = timedelta(hours=24)
COLOURS = {CommandStatus.FAILED: "danger", CommandStatus.EXPIRED: "warning"}

# The newest ones of a tenant by the index command_by_tenant, of all by the primary key. Nothing
# else is bounded: open ones, and those of a day, may be few or millions, and have an index by
# device, or by end of life, at most.
COMMANDS = """
WITH newest AS MATERIALIZED ({newest})
SELECT
    (SELECT count(*) FROM newest),
    (SELECT json_object_agg(status, count) FROM (
        SELECT status, count(*) FROM newest
        WHERE finished_at IS NULL OR created_at >= %(since)s GROUP BY status
    ) AS states),
    (SELECT json_agg(ended) FROM (
        SELECT number, cmd, status, device__device_uid AS uid, finished_at FROM newest
        WHERE status IN ('failed', 'expired') ORDER BY finished_at DESC LIMIT %(shown)s
    ) AS ended)
"""


class Commands(NamedTuple):
    """Open commands and those of a day that have ended, by state; and bad ends."""

    open: list[Card]
    ended: list[Card]
    is_part: bool
    troubles: list[Trouble]

    @property
    def looked_at(self) -> str:
        return number(LOOKED_AT)


def commands_of(user: User, now: datetime) -> Commands:
    since = (now - DAY).replace(microsecond=0)
    looked_at, states, ends = _asked(user, since)
    day = timezone.localtime(since)
    recent = {"created_at_from_0": f"{day:%Y-%m-%d}", "created_at_from_1": f"{day:%H:%M:%S}"}

    def card(status: CommandStatus) -> Card:
        narrowed = recent if status in ENDED else {}
        link = list_of("devices_command", status__exact=status.value, **narrowed)
        return Card(status.label, number(states.get(status.value, 0)), link)

    return Commands(
        [card(status) for status in CommandStatus if status not in ENDED],
        [card(status) for status in ENDED],
        looked_at == LOOKED_AT,
        [
            Trouble(
                datetime.fromisoformat(end["finished_at"]),
                CommandStatus(end["status"]).label,
                COLOURS[CommandStatus(end["status"])],
                end["cmd"],
                end["uid"],
                page_of("devices_command", end["number"]),
            )
            for end in ends
        ],
    )


def _asked(user: User, since: datetime) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
    columns = "number", "cmd", "status", "device__device_uid", "created_at", "finished_at"
    chosen = Command.objects.visible_to(user).order_by("-number").values(*columns)[:LOOKED_AT]
    inner, parameters = chosen.query.sql_with_params()
    own = named(parameters, "own")
    inner = inner % tuple(f"%({name})s" for name in own)
    with connection.cursor() as cursor:
        cursor.execute(COMMANDS.replace("{newest}", inner), {**own, "since": since, "shown": SHOWN})
        count, states, ends = cursor.fetchone()
    return count, states or {}, ends or []
