"""What is said of the database, its upkeep and the processes that work with it."""

import shutil
import time
from collections.abc import Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from devices.models import BrokerChange, Heartbeat, ProcessKind
from iotplatform.doctor import clock, database, disk, processes, upkeep
from iotplatform.doctor.finding import Finding, State
from telemetry import partitions
from telemetry.models import RejectedOverflow, Upkeep
from telemetry.upkeep.jobs import jobs
from tests import cast as people
from tests.devices.alerts.fleet import ago
from tests.iotplatform import compose

pytestmark = pytest.mark.django_db
OK, WARNING, PROBLEM = State.OK, State.WARNING, State.PROBLEM


def execute(sql: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def the_only(found: Iterable[Finding]) -> Finding:
    """All that was found, which has an advice if anything is wrong."""
    (finding,) = found
    assert bool(finding.advice) == (finding.state is not OK)
    return finding


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [("OLDEST", 15, OK), ("OLDEST", 99, PROBLEM), ("NEWEST", 14, WARNING)],
)
def test_a_version_that_nobody_tried_is_said(
    name: str, value: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, name, value)
    found = the_only(database.server())
    assert found.state == state
    assert connection.settings_dict["NAME"] in found.said


def test_a_missing_migration_and_one_of_a_newer_platform_are_named() -> None:
    assert the_only(database.migrations()).state == OK
    execute("DELETE FROM django_migrations WHERE app = 'telemetry' AND name LIKE '0004%%'")
    assert "telemetry.0004_message_counts" in the_only(database.migrations()).said
    execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES"
        " ('telemetry', '0004_message_counts', now()), ('devices', '9999_later', now()),"
        " ('gone', '0001_initial', now())"
    )
    assert "devices.9999_later" in the_only(database.migrations()).said


def test_parameters_that_cost_data_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    # The server of the tests has none of it, as its data has no worth.
    monkeypatch.setattr(database, "SAFE", {})
    assert the_only(database.parameters()).state == OK
    execute("SET LOCAL synchronous_commit = off")
    assert "synchronous_commit" in the_only(database.parameters()).said
    execute("SET LOCAL synchronous_commit = local; SET LOCAL timezone = 'Asia/Ho_Chi_Minh'")
    assert the_only(database.parameters()).state == WARNING
    monkeypatch.setattr(database, "SAFE", {"max_wal_senders": "-1"})
    assert next(iter(database.parameters())).state == PROBLEM


def test_connections_that_will_not_be_enough_are_said(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEB_WORKERS = settings.WEB_THREADS = 1
    assert the_only(database.connections()).state == OK
    live = compose.environment(compose.load(compose.BASE), "live")
    assert int(live["WEB_THREADS"]) == database.OF_LIVE
    # The server of the tests has 200, some of which are reserved.
    settings.WEB_THREADS = 60
    for settings.DEBUG, state in ((True, OK), (False, WARNING)):
        assert the_only(database.connections()).state == state
    settings.WEB_THREADS = 1000
    assert the_only(database.connections()).state == WARNING
    monkeypatch.setattr(database, "FULL", 0)
    assert the_only(database.connections()).state == PROBLEM


def test_a_clock_that_differs_is_said_with_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_only(clock.clock()).state == OK
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)
    assert "60.0 s behind ours" in the_only(clock.clock()).said


def test_a_disk_that_gets_full_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 2**30
    for free, state in ((50, OK), (3, WARNING), (0.5, PROBLEM)):
        usage = (100 * gib, 0, free * gib)
        monkeypatch.setattr(shutil, "disk_usage", lambda _place, usage=usage: usage)
        assert the_only(disk.here()).state == state
        # Of a database that has not grown for a week.
        assert the_only([disk.room("", usage[0], usage[2], 0)]).state == state


def test_for_how_long_the_database_has_room_is_told_by_last_week(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    week = partitions.name_of(partitions.week_of(timezone.now() - timedelta(days=7)))
    partitions.make_ahead(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [week])
        size = cursor.fetchone()[0]
    for weeks, state in ((10, OK), (3, WARNING), (0.5, PROBLEM)):
        usage = (0, 0, weeks * size)
        monkeypatch.setattr(shutil, "disk_usage", lambda _place, usage=usage: usage)
        assert next(iter(disk.growth())).state == state


@pytest.mark.parametrize(
    ("size", "slot", "state"),
    [(None, None, OK), (10, None, OK), (30, None, WARNING), (10, "standby", WARNING)],
)
def test_a_write_ahead_log_that_nobody_fetches_is_said(
    size: int | None, slot: str | None, state: State
) -> None:
    found = disk.write_ahead_log(size, 10, slot)
    assert the_only([found]).state == state
    assert (slot or "") in found.said


def test_weeks_without_a_table_are_said() -> None:
    now = timezone.now()
    partitions.make_ahead(now)
    assert the_only(upkeep.weeks()).state == OK
    execute(f"DROP TABLE {partitions.name_of(partitions.week_of(now + partitions.AHEAD))}")
    expected = PROBLEM if now.weekday() == 6 else WARNING
    assert the_only(upkeep.weeks()).state == expected
    execute(f"DROP TABLE {partitions.name_of(partitions.week_of(now))}")
    assert the_only(upkeep.weeks()).state == PROBLEM


def test_upkeep_that_does_not_run_is_said_and_so_is_a_job_that_fails() -> None:
    assert the_only(upkeep.runs()).state == WARNING
    names = [job.name for job in jobs(timezone.now())]
    Upkeep.objects.bulk_create(
        Upkeep(job=name, ended_at=timezone.now(), seconds=1, count=0)
        for name in [*names, "of another version"]
    )
    Upkeep.objects.filter(job="of another version").update(ended_at=ago(60 * 24 * 90))
    assert the_only(upkeep.runs()).state == OK
    Upkeep.objects.get(job=names[2]).delete()
    assert f"{names[2]} has never" in the_only(upkeep.runs()).said
    Upkeep.objects.filter(job=names[1]).update(ended_at=ago(60 * 51))
    assert names[1] in the_only(upkeep.runs()).said
    for days, state in ((2, WARNING), (4, PROBLEM)):
        Upkeep.objects.update(ended_at=ago(60 * 24 * days))
        assert the_only(upkeep.runs()).state == state


def test_rejected_messages_that_were_too_many_are_said(cast: SimpleNamespace) -> None:
    assert the_only(upkeep.overflow()).state == OK
    RejectedOverflow.objects.create(tenant_id=cast.t0.pk, number=1234, last_at=ago(60))
    assert "1,234" in the_only(upkeep.overflow()).said
    RejectedOverflow.objects.update(last_at=ago(60 * 48))
    assert the_only(upkeep.overflow()).state == OK


def beats(age: float = 0, waits: float | None = None, **detail: Any) -> None:
    """An ingestor whose last sign of life was some minutes ago."""
    Heartbeat.objects.update_or_create(
        name=f"ingestor {age}",
        defaults={
            "kind": ProcessKind.INGESTOR,
            "started_at": ago(1000),
            "beat_at": ago(age),
            "waiting_since": None if waits is None else ago(waits),
            "detail": {"connected": True, **detail},
        },
    )


@pytest.mark.parametrize(
    ("signs", "states", "word"),
    [
        ([], [PROBLEM], "None is at work"),
        ([{"age": 5}], [PROBLEM], "0:05:0"),
        ([{"rate": 12.6}], [OK], "13 messages a second"),
        ([{"connected": False}], [PROBLEM], "no connection"),
        ([{"waits": 10}], [WARNING], "0:10:0"),
        ([{}, {"age": 5}], [WARNING, OK], "ingestor 5"),
    ],
)
def test_what_the_signs_of_life_say(
    signs: list[dict[str, Any]], states: list[State], word: str
) -> None:
    for sign in signs:
        beats(**sign)
    found = list(processes.ingestors())
    assert [each.state for each in found] == states
    assert word in found[0].said
    assert next(iter(processes.dispatchers())).state == PROBLEM


def test_what_waits_for_long_is_said(cast: SimpleNamespace, settings: Any) -> None:
    people.command(cast.device)
    assert the_only(processes.queues()).state == OK
    execute("UPDATE devices_devicequeue SET look_at = %s", ago(5))
    BrokerChange.objects.create(
        device_uid="dev-01", tenant=cast.t0, noted_at=ago(7), error="It is away."
    )
    commands, changes = processes.queues()
    assert "0:05:0" in commands.said
    assert "0:07:0" in changes.said
    assert "It is away." in changes.said
