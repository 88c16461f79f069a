"""What only the database knows, asked at each scrape by statements that stay quick as it grows.

What each of them reads is said above it. Of the tables of readings none is read.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from devices.daemon.heartbeat import SILENT_AFTER
from devices.models import CommandStatus, Session
from iotplatform.asking import asking, connected
from telemetry.partitions import TABLE
from telemetry.reasons import Reason
from telemetry.upkeep.jobs import jobs

logger = logging.getLogger(__name__)

COUNTED = 1_000
"""So many rejected messages of each reason are counted, and …"""
LOOKED_AT = 10_000
"""… so many open commands, and changes for the broker."""
OPEN = (CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.ACKNOWLEDGED)
UPKEEP = [job.name for job in jobs(timezone.now())]

# Prometheus waits for ten.
LONGEST_SECONDS = 5.0


class Question(NamedTuple):
    """A metric, and the statement whose rows are its values, each behind that of its `label`.

    Those of `always` are there even if they have no row: they are 0.
    """

    name: str
    meaning: str
    statement: str
    label: str = ""
    always: Sequence[str] = ()

    def answered(self, cursor: psycopg.Cursor[Any]) -> Metric:
        bounds = {"counted": COUNTED, "looked_at": LOOKED_AT, "silent": SILENT_AFTER}
        names = {"always": [*self.always], "jobs": UPKEEP}
        rows = cursor.execute(self.statement, {**bounds, **names}).fetchall()
        is_counter = self.name.endswith("_total")
        family = CounterMetricFamily if is_counter else GaugeMetricFamily
        metric = family(
            f"iotplatform_{self.name}", self.meaning, labels=[self.label] if self.label else []
        )
        found = dict.fromkeys(((each,) for each in self.always), 0.0)
        found |= {tuple(labels): float(value) for *labels, value in rows if value is not None}
        for labels, value in found.items():
            metric.add_metric(labels, value)
        return metric


QUESTIONS = [
    # The index command_expiring, for the order; without it PostgreSQL would read all commands for
    # the few that are open.
    Question(
        "commands",
        f"Open commands by state; of more than {LOOKED_AT} those that run out first.",
        """
        SELECT status, count(*) FROM (
            SELECT status FROM devices_command WHERE finished_at IS NULL
            ORDER BY expires_at LIMIT %(looked_at)s
        ) AS open GROUP BY status
        """,
        "status",
        OPEN,
    ),
    # The first of the index queue_due.
    Question(
        "commands_due_age_seconds",
        "Seconds that the command waits for a dispatcher which has waited longest; 0 if none does.",
        """
        SELECT coalesce(greatest(0, extract(epoch FROM now() - min(look_at))), 0)
        FROM devices_devicequeue WHERE look_at IS NOT NULL
        """,
    ),
    # The index rejected_open_by_reason, for the order, and of it COUNTED entries of each reason.
    Question(
        "rejected_messages",
        f"Rejected messages that nobody has dealt with, by reason; up to {COUNTED} of each.",
        """
        SELECT reason, (SELECT count(*) FROM (
            SELECT FROM telemetry_rejectedmessage AS message
            WHERE message.reason = wanted.reason AND resolved_at IS NULL
            ORDER BY device_uid LIMIT %(counted)s
        ) AS few) FROM unnest(%(always)s::text[]) AS wanted (reason)
        """,
        "reason",
        Reason.values,
    ),
    # A row a tenant.
    Question(
        "rejected_overflow_total",
        "Rejected messages that were removed because a tenant had more than REJECTED_MAX.",
        "SELECT coalesce(sum(number), 0) FROM telemetry_rejectedoverflow",
    ),
    # A look at each device, as many as there are.
    Question(
        "devices",
        "Devices by the state of their session.",
        """
        SELECT coalesce(session, 'unknown'), count(*) FROM devices_device AS device
        LEFT JOIN devices_devicestate AS state ON state.device_id = device.id
        WHERE deleted_at IS NULL GROUP BY 1
        """,
        "session",
        Session.values,
    ),
    # A row for each process of the last day.
    Question(
        "process_beat_age_seconds",
        "Seconds since the last sign of life of a process of this kind; none where there was none.",
        """
        SELECT kind, extract(epoch FROM now() - max(beat_at)) FROM devices_heartbeat GROUP BY kind
        """,
        "kind",
    ),
    Question(
        "process_connected",
        "Whether a living process of this kind is connected to the broker: 1 or 0.",
        """
        SELECT kind, max(CASE WHEN detail ->> 'connected' = 'true' AND beat_at > now() - %(silent)s
            THEN 1 ELSE 0 END) FROM devices_heartbeat GROUP BY kind
        """,
        "kind",
    ),
    # The catalogue of partitions, of which there is one a week.
    Question(
        "partitions_ahead_seconds",
        "Seconds until there is no partition for readings any more, if nobody makes one.",
        f"""
        WITH weeks AS (
            SELECT to_date(right(relname, 8), 'YYYYMMDD') AS week
            FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = '{TABLE}'::regclass AND NOT inhdetachpending
                AND relname ~ '^{TABLE}_[0-9]{{8}}$'
        ), this AS (SELECT date_trunc('week', now() AT TIME ZONE 'UTC')::date AS week)
        SELECT coalesce(extract(epoch FROM
            (SELECT min(week) + 7 FROM weeks WHERE week >= (SELECT week FROM this)
                AND NOT EXISTS (SELECT FROM weeks AS next WHERE next.week = weeks.week + 7)
                AND EXISTS (SELECT FROM weeks JOIN this USING (week))
            )::timestamp AT TIME ZONE 'UTC' - now()), 0)
        """,
    ),
    # A row a job.
    Question(
        "upkeep_age_seconds",
        "Seconds since the job of “maintain” ended well that has not for the longest time.",
        "SELECT extract(epoch FROM now() - min(ended_at)) FROM telemetry_upkeep",
    ),
    # As many names as there are jobs.
    Question(
        "upkeep_jobs_missing",
        "Jobs of “maintain” that never ended well; all of them before the first time.",
        """
        SELECT count(*) FROM unnest(%(jobs)s::text[]) AS known (job)
        WHERE NOT EXISTS (SELECT FROM telemetry_upkeep AS ended WHERE ended.job = known.job)
        """,
    ),
    # Of a table that is empty but for moments, no more than LOOKED_AT rows.
    Question(
        "broker_changes_waiting",
        f"Changes of devices that the broker has not been told; up to {LOOKED_AT}.",
        "SELECT count(*) FROM (SELECT FROM devices_brokerchange LIMIT %(looked_at)s) AS few",
    ),
    # The sizes of its files.
    Question(
        "database_bytes",
        "Bytes of the database on disk.",
        "SELECT pg_database_size(current_database())",
    ),
    # What the server has in memory.
    Question(
        "database_connections",
        "Connections to the database server.",
        "SELECT sum(numbackends) FROM pg_stat_database",
    ),
    Question(
        "database_connections_max",
        "Connections that the database server accepts.",
        "SELECT current_setting('max_connections')::int",
    ),
]


class OfDatabase(Collector):
    """Asks all of it. Of what is not answered there is no value, and anything else goes on."""

    def collect(self) -> Iterable[Metric]:
        is_up = True
        end = time.monotonic() + LONGEST_SECONDS
        try:
            with connected() as own:
                for question in QUESTIONS:
                    if time.monotonic() < end:
                        yield from self._answer(question, own)
        except psycopg.Error as error:
            logger.warning("The database does not answer what metrics ask: %s", error)
            is_up = False
        yield GaugeMetricFamily(
            "iotplatform_database_up",
            "Whether the database answers: 1 or 0.",
            value=is_up,
        )

    def _answer(self, question: Question, own: psycopg.Connection[Any]) -> Iterable[Metric]:
        try:
            with asking(own) as cursor:
                metric = question.answered(cursor)
            yield metric
        except (psycopg.ProgrammingError, psycopg.errors.QueryCanceled) as error:
            # Of another version, say, or too busy: the next one may be answered nevertheless.
            logger.warning("The database cannot tell %s: %s", question.name, error)
