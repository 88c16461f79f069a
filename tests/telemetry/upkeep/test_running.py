"""How `maintain` runs its jobs: none is in the way of another, and it can say first what is due."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from accounts.history import note
from accounts.models import Concern
from devices.commands import outbox
from devices.commands.sending import Order, send
from devices.models import Command, Credential, Device
from telemetry import partitions
from telemetry.ingest import store
from telemetry.models import Receipt, Upkeep
from telemetry.upkeep import running
from telemetry.upkeep.jobs import ALWAYS, Job, jobs
from tests import cast as people
from tests.telemetry.conftest import message
from tests.telemetry.live.conftest import other_connection
from tests.telemetry.upkeep.conftest import elsewhere, maintain, maintain_in_vain

pytestmark = pytest.mark.django_db
TRANSACTIONS = pytest.mark.django_db(transaction=True)
LONG_AGO = timezone.now() - timedelta(days=402)
ALL = [job.name for job in jobs(timezone.now())]
CHEAP = [job.name for job in jobs(timezone.now()) if job.every == ALWAYS]

TO_DO = {
    "weeks_ahead": 1,
    "old_weeks": 1,
    "outlived_readings": 2,
    "receipts": 4,
    "rejected_old": 2,
    "rejected_excess": 2,
    "commands_expired": 1,
    "deleted_devices": 1,
}
"""What the fixture `all_to_do` leaves to do. A reading in a week that is dropped is not deleted as
well, nor is a message that is too old removed because there are too many."""


def numbers(said):
    return [int(number) for number in re.findall(r": (\d+) (?:to be )?[a-z]+$", said, re.MULTILINE)]


@pytest.fixture
def in_the_way(transactional_db, dev):
    """A table with the name of the next week that is no part of it, with a row of another time."""
    week = partitions.existing()[-1]
    name = partitions.name_of(week)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
        cursor.execute(f"CREATE TABLE {name} (LIKE telemetry_telemetry INCLUDING DEFAULTS)")
        cursor.execute(
            f"INSERT INTO {name} (id, device_id, ts, msg_id, received_at, payload) "
            "VALUES (1, 1, '2199-01-01T00:00Z', 'a', now(), '{}')"
        )
        yield name
        cursor.execute(f"DROP TABLE {name}")


@pytest.fixture
def all_to_do(settings, dev):
    """A database that has something to do for many jobs, and some of it for two of them."""
    now = timezone.now()
    dev.tenant.retention_days = 3
    dev.tenant.save()
    store([message({"ts": (now - timedelta(days=d)).timestamp()}) for d in (1, 4, 15, 30)])
    settings.HISTORY_DAYS, settings.REJECTED_DAYS, settings.REJECTED_MAX = 20, 5, 3
    for age in (1, 2, 3, 4, 6, 30):
        people.rejected(dev.tenant, received_at=now - timedelta(days=age))
    Receipt.objects.update(received_at=now - timedelta(days=8))
    ran_out = send(Order("reboot", {}), dev, None).what
    Command.objects.filter(pk=ran_out.pk).update(
        created_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=1)
    )
    gone = Device.objects.create(device_uid="gone", tenant=dev.tenant, is_enabled=False)
    store([message(b"\xff", uid="gone")])
    Device.objects.filter(pk=gone.pk).update(deleted_at=now - timedelta(hours=2))
    connection.cursor().execute(f"DROP TABLE {partitions.name_of(partitions.existing()[-1])}")


@TRANSACTIONS
@pytest.mark.usefixtures("all_to_do")
def test_a_run_does_what_a_dry_run_said():
    said = numbers(maintain("--dry-run"))
    assert dict(zip(ALL, said, strict=True)) == dict.fromkeys(ALL, 0) | TO_DO
    assert numbers(maintain()) == said


@TRANSACTIONS
def test_a_dry_run_can_write_nothing():
    maintain("--dry-run")
    assert not Upkeep.objects.exists()

    def writes():
        return Upkeep.objects.create(job="a", ended_at=LONG_AGO, seconds=1, count=1).count

    (ended,) = running.count([Job("a", "a", "done", pending=writes, work=iter)])
    assert "read-only transaction" in str(ended.error)


def test_what_job_ended_when_is_noted(dev):
    store([message({"temp": 1})])
    before = timezone.now()
    maintain()
    assert set(Upkeep.objects.values_list("job", flat=True)) == set(ALL)
    assert before <= Upkeep.objects.get(job="receipts").ended_at <= timezone.now()
    Receipt.objects.update(received_at=LONG_AGO)
    maintain("--only", "receipts")
    assert Upkeep.objects.get(job="receipts").count == 1


def test_a_job_that_there_is_no_more_is_forgotten():
    Upkeep.objects.create(job="sweeping", ended_at=LONG_AGO, seconds=1, count=1)
    maintain("--due")
    assert not Upkeep.objects.filter(job="sweeping").exists()


def test_what_is_due_is_what_did_not_end_well_for_a_day_and_what_is_cheap():
    assert len(numbers(maintain("--due"))) == len(ALL)
    assert len(numbers(maintain("--due"))) == len(CHEAP)
    Upkeep.objects.filter(job="receipts").update(ended_at=timezone.now() - timedelta(hours=25))
    # By a clock that was wrong.
    Upkeep.objects.filter(job="sessions").update(ended_at=timezone.now() + timedelta(hours=25))
    assert len(numbers(maintain("--due"))) == len(CHEAP) + 2


def test_an_unknown_job_is_refused():
    with pytest.raises(CommandError, match="invalid choice: 'sweeping'"):
        maintain("--only=sweeping")


@TRANSACTIONS
def test_one_that_fails_keeps_no_other_from_running_and_loses_nothing(in_the_way):
    store([message({"temp": 1})])
    Receipt.objects.update(received_at=LONG_AGO)
    said = maintain_in_vain()
    assert (
        f'weeks ahead: failed after 0.0 s: partition constraint of relation "{in_the_way}"' in said
    )
    assert "receipts older than 7 days: 1 deleted" in said
    assert "tried again by the next run: weeks_ahead. All others are done." in said
    assert not Upkeep.objects.filter(job="weeks_ahead").exists()
    assert set(Upkeep.objects.values_list("job", flat=True)) == {*ALL} - {"weeks_ahead"}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {in_the_way}")
        assert cursor.fetchone() == (1,)


@TRANSACTIONS
def test_one_that_loses_its_connection_keeps_no_other_from_running(monkeypatch):
    def end_all():
        connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr("telemetry.upkeep.jobs.readings.prune_receipts", lambda _: end_all())
    said = maintain_in_vain()
    assert "tried again by the next run: receipts. All others" in said
    assert Upkeep.objects.count() == len(ALL) - 1


@TRANSACTIONS
def test_one_that_loses_its_lock_to_another_run_says_what_had_failed(monkeypatch):
    with other_connection() as other:

        def lose():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
                other.execute("SELECT pg_advisory_lock(%s)", [running.LOCK])
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        monkeypatch.setattr("telemetry.upkeep.jobs.readings.prune_receipts", lambda _: lose())
        said = maintain_in_vain("--only", "receipts", "--only", "sessions")
    assert "tried again by the next run: receipts. Another “maintain” is at work" in said


@TRANSACTIONS
def test_of_two_at_once_the_second_says_so_and_ends():
    said = []
    work = outbox.expire

    def meanwhile():
        said.append(elsewhere(maintain))
        return work()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telemetry.upkeep.jobs.expire", meanwhile)
        maintain("--only", "commands_expired")
    assert said == ["Another “maintain” is at work in this database; this one ends.\n"]
    assert len(numbers(elsewhere(maintain))) == len(ALL)


@TRANSACTIONS
def test_a_database_that_is_away_is_said_in_a_sentence(settings, monkeypatch):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", 1)
    assert maintain_in_vain().startswith("The database is away: ")


def test_commands_whose_time_ran_out_are_ended_as_a_dispatcher_does(dev):
    sent = send(Order("reboot", {}), dev, None).what
    over = timezone.now() - timedelta(minutes=1)
    Command.objects.update(created_at=over - timedelta(days=1), expires_at=over)
    assert "while no dispatcher was there: 1 ended" in maintain()
    sent.refresh_from_db()
    assert (sent.status, sent.finished_at) == ("expired", over)
    assert [step.status for step in sent.transitions.all()][-1] == "expired"
    assert "while no dispatcher was there: 0 ended" in maintain()


def test_changes_are_kept_for_a_year_at_least(settings, dev):
    settings.HISTORY_DAYS = 20
    staff = people.user("staff@example.com", None, is_superuser=True)
    for days in (367, 365):
        note(staff, dev, "said")
        entry = Concern.objects.latest("entry_id").entry
        entry.action_time = timezone.now() - timedelta(days=days)
        entry.save()
    assert "noted more than 366 days ago: 1 deleted" in maintain()
    assert Concern.objects.count() == 1


def test_credentials_that_ended_long_ago_are_deleted_but_for_the_newest_of_a_device(dev):
    for _ in range(3):
        people.token(dev)
    Credential.objects.update(revoked_at=LONG_AGO)
    people.token(Device.objects.create(device_uid="dev-02", tenant=dev.tenant))
    newest = dev.credentials.latest("pk")
    assert "credentials that ended 400 days ago: 2 deleted" in maintain()
    assert dev.credentials.get() == newest
    assert Credential.objects.count() == 2
