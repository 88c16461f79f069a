"""Runs jobs one after the other: one that fails in the database keeps no other from running, and no
two processes do it at once."""

import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import Error, connection
from django.db.models.functions import Now

from telemetry.models import Upkeep
from telemetry.upkeep.jobs import Job

# Any number will do that nobody else in this database uses for something else.
LOCK = 7_306_002

# Nobody waits for what waits here: weeks are detached without a lock that others would queue behind
# (telemetry/partitions.py), so the patience is that of the longest query of a page. What hangs
# nevertheless is given up, and tried again by the next run.
PATIENCE = """
SET lock_timeout = '70s';
SET statement_timeout = '15min';
SET idle_in_transaction_session_timeout = '60s'
"""
READ_ONLY = "SET default_transaction_read_only = on"
RESET = """
RESET lock_timeout;
RESET statement_timeout;
RESET idle_in_transaction_session_timeout;
RESET default_transaction_read_only
"""


class AnotherRuns(Exception):
    """Another process runs jobs in this database."""


class Ended(NamedTuple):
    """How a job ended: what it did, and in how many seconds; or the `error` by which it failed."""

    job: Job
    number: int
    seconds: float
    error: Error | None = None


def run(jobs: Collection[Job]) -> Iterator[Ended]:
    """Run jobs, and note each that ended well. Raises AnotherRuns if another process does, also
    midway if that has cost the lock, and Django's database Error if the database itself is away.

    A job that fails in the database keeps no other from running; a mistake in its code is raised.
    """
    try:
        for job in jobs:
            # Anew for each: what failed may have cost the connection, and with it the lock.
            _prepare(PATIENCE)
            _be_the_only_one()
            ended = _timed(job, lambda work=job.work: sum(work()))  # type: ignore[misc]
            if ended.error is None:
                _note(ended)
            yield ended
    finally:
        _leave()


def count(jobs: Collection[Job]) -> Iterator[Ended]:
    """How much each job has to do. The database sees to it that nothing is written."""
    try:
        for job in jobs:
            _prepare(PATIENCE, READ_ONLY)
            yield _timed(job, job.pending)
    finally:
        _leave()


def due(jobs: Collection[Job], now: datetime) -> list[Job]:
    """Those of `jobs` that have not ended well for as long as they say."""
    ended = dict(Upkeep.objects.values_list("job", "ended_at"))
    # One that ended in the future did so by a clock that was wrong.
    return [
        job
        for job in jobs
        if job.name not in ended or not timedelta(0) <= now - ended[job.name] < job.every
    ]


def forget_others(jobs: Collection[Job]) -> None:
    """Forget jobs that there are no more: nothing is to be heard of how long ago they ran."""
    Upkeep.objects.exclude(job__in=[job.name for job in jobs]).delete()


def _prepare(*settings: str) -> None:
    with connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(setting)


def _be_the_only_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if cursor.fetchone() == (False,):
            raise AnotherRuns


def _leave() -> None:
    """Leave the connection, if there still is one, as it was."""
    if connection.connection:
        _prepare(RESET, "SELECT pg_advisory_unlock_all()")


def _timed(job: Job, do: Callable[[], int]) -> Ended:
    begun = time.monotonic()
    try:
        done = do()
    except Error as error:
        connection.close_if_unusable_or_obsolete()
        return Ended(job, 0, time.monotonic() - begun, error)
    return Ended(job, done, time.monotonic() - begun)


def _note(ended: Ended) -> None:
    noted = {"ended_at": Now(), "seconds": ended.seconds, "count": ended.number}
    Upkeep.objects.update_or_create(job=ended.job.name, defaults=noted)
