"""What the database is asked at each scrape, and how little of it that reads."""

import contextlib
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from devices.models import DeviceQueue, Heartbeat
from iotplatform.metrics import database
from iotplatform.metrics.database import QUESTIONS, OfDatabase, Question
from telemetry import partitions
from telemetry.models import RejectedOverflow, Upkeep
from telemetry.upkeep.jobs import jobs
from tests import cast as people
from tests.queries import plan_of

NOW = timezone.now()


@pytest.fixture(autouse=True)
def _here(db, monkeypatch):
    """Asked by the connection of the test, which sees what it made."""

    @contextlib.contextmanager
    def asking(own):
        with own.transaction(), psycopg.Cursor(own) as cursor:
            yield cursor

    connection.ensure_connection()
    own = contextlib.nullcontext(connection.connection)
    monkeypatch.setattr(database, "connected", lambda: own)
    monkeypatch.setattr(database, "asking", asking)


def told():
    return {
        (sample.name.removeprefix("iotplatform_"), *sample.labels.values()): sample.value
        for metric in OfDatabase().collect()
        for sample in metric.samples
    }


def ago(seconds):
    return timezone.now() - timedelta(seconds=seconds)


def beat(name, kind, seconds, connected):
    row = {"started_at": ago(900), "beat_at": ago(seconds), "detail": {"connected": connected}}
    Heartbeat.objects.create(name=name, kind=kind, **row)


def test_where_there_is_nothing_it_is_zero_or_not_told(cast):
    found = told()
    for zero in (
        ("commands", "queued"), ("commands_due_age_seconds",), ("rejected_messages", "nul"),
        ("rejected_overflow_total",), ("devices", "online"), ("broker_changes_waiting",),
    ):  # fmt: skip
        assert found[zero] == 0
    untold = {"upkeep_age_seconds", "process_connected", "process_beat_age_seconds"}
    assert not untold & {name for name, *_ in found}


def test_commands_count_while_they_are_open(cast):
    waiting = people.command(cast.device)
    people.command(cast.device, status="sent", sent_at=NOW)
    people.command(cast.device, status="failed", finished_at=NOW)
    for device, look_at in ((waiting.device, ago(90)), (cast.foreign, ago(-90))):
        DeviceQueue.objects.update_or_create(device=device, defaults={"look_at": look_at})
    found = told()
    assert (found["commands", "queued"], found["commands", "sent"]) == (1, 1)
    assert ("commands", "failed") not in found
    assert found["commands_due_age_seconds",] == pytest.approx(90, abs=5)


def test_rejected_messages_count_until_somebody_dealt_with_them_and_no_further(cast, monkeypatch):
    monkeypatch.setattr(database, "COUNTED", 2)
    for _ in range(3):
        people.rejected(cast.t0, reason="nul")
    people.rejected(None, reason="number")
    people.rejected(cast.t0, reason="number", resolved_at=NOW)
    for tenant, number in ((cast.t0.pk, 7), (None, 2)):
        RejectedOverflow.objects.create(tenant_id=tenant, number=number, last_at=NOW)
    found = told()
    assert (found["rejected_messages", "nul"], found["rejected_messages", "number"]) == (2, 1)
    assert found["rejected_overflow_total",] == 9


def test_devices_count_by_session_until_they_are_deleted(cast):
    people.device("on-1", cast.other, session="online")
    gone = people.device("on-2", cast.t0, session="online")
    type(gone).objects.filter(pk=gone.pk).update(deleted_at=NOW, is_enabled=False)
    found = told()
    assert (found["devices", "online"], found["devices", "unknown"]) == (1, 2)


def test_of_several_processes_the_one_that_works_counts(cast):
    beat("a", "ingestor", 300, connected=True)
    beat("b", "ingestor", 3, connected=False)
    beat("c", "dispatcher", 3, connected=True)
    found = told()
    assert found["process_beat_age_seconds", "ingestor"] == pytest.approx(3, abs=2)
    # What the silent one said last is not so any more.
    assert found["process_connected", "ingestor"] == 0
    assert found["process_connected", "dispatcher"] == 1


def test_the_job_that_ended_well_the_longest_ago_tells_the_age_of_upkeep(cast):
    for job, seconds in (("weeks_ahead", 5), ("old_weeks", 500)):
        Upkeep.objects.create(job=job, ended_at=ago(seconds), seconds=1, count=0)
    assert told()["upkeep_age_seconds",] == pytest.approx(500, abs=5)


def test_jobs_of_upkeep_that_never_ended_well_are_counted(cast):
    every = [job.name for job in jobs(NOW)]
    assert told()["upkeep_jobs_missing",] == len(every)
    for job in [*every[1:], "of another version"]:
        Upkeep.objects.create(job=job, ended_at=NOW, seconds=1, count=0)
    assert told()["upkeep_jobs_missing",] == 1


def test_weeks_ahead_count_until_the_first_that_is_missing(cast):
    def ahead():
        return told()["partitions_ahead_seconds",] / 86400

    assert ahead() == 0
    partitions.make_ahead(NOW)
    before = ahead()
    assert 7 < before < 15
    # Behind a gap.
    partitions.make([partitions.week_of(NOW + timedelta(days=35))])
    assert ahead() == pytest.approx(before, abs=0.1)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.name_of(partitions.week_of(NOW))}")
    assert ahead() == 0


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("commands", "command_expiring"),
        ("commands_due_age_seconds", "queue_due"),
        ("rejected_messages", "rejected_open_by_reason"),
    ],
)
def test_what_grows_is_read_by_an_index(cast, name, index):
    statement = next(each.statement for each in QUESTIONS if each.name == name)
    values = {"%(looked_at)s": "10", "%(counted)s": "10", "%(always)s": "'{nul}'"}
    for place, value in values.items():
        statement = statement.replace(place, value)
    with connection.cursor() as cursor:
        # Tables that are all but empty are read as a whole.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    assert index in {node.get("Index Name") for node in plan_of(statement)}


def test_what_is_not_answered_keeps_nothing_else_from_being_told(monkeypatch, caplog):
    asked = {"new": "SELECT new FROM tomorrow", "slow": "SELECT pg_sleep(5)", "quick": "SELECT 7"}
    questions = [Question(name, "…", statement) for name, statement in asked.items()]
    monkeypatch.setattr(database, "QUESTIONS", questions)
    answered = Question.answered

    def soon(question, cursor):
        cursor.execute("SET LOCAL statement_timeout = '100ms'")
        return answered(question, cursor)

    monkeypatch.setattr(Question, "answered", soon)
    assert told() == {("quick",): 7, ("database_up",): 1}
    assert "cannot tell new" in caplog.text
    assert "cannot tell slow" in caplog.text


def test_nobody_is_kept_waiting_for_all_of_it(monkeypatch):
    monkeypatch.setattr(database, "LONGEST_SECONDS", 0)
    assert told() == {("database_up",): 1}
