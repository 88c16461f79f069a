"""`manage.py maintain`: what it does, what it leaves, and that it can say so first."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import LoginAttempt
from devices.commands.sending import LIFE, Order, send, send_to_many
from devices.models import (
    BrokerChange,
    Command,
    CommandBatch,
    CommandTransition,
    Device,
    DeviceState,
)
from telemetry import partitions
from telemetry.ingest import store
from telemetry.models import Receipt, RejectedMessage, Telemetry
from telemetry.upkeep.rows import erase
from tests.cast import rejected
from tests.telemetry.conftest import message
from tests.telemetry.upkeep.conftest import maintain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_old_week")]


def test_weeks_older_than_the_history_are_dropped(settings):
    settings.HISTORY_DAYS = 20
    assert "older than 20 days: 1 dropped" in maintain()
    assert not Telemetry.objects.exists()


def test_history_is_left_alone():
    assert "older than 400 days: 0 dropped" in maintain()
    assert Telemetry.objects.count() == 1


def test_missing_weeks_are_made():
    connection.cursor().execute(f"DROP TABLE {partitions.name_of(partitions.existing()[-1])}")
    assert "weeks ahead: 1 made" in maintain()


def test_what_ran_out_is_deleted():
    soon = datetime.now(UTC) + timedelta(hours=1)
    for at in (soon, soon - timedelta(days=2)):
        LoginAttempt.objects.create(account="a", address="192.0.2.1", at=at)
        token = OutstandingToken.objects.create(jti=f"{at}", token="t", expires_at=at)
        BlacklistedToken.objects.create(token=token)
        Session.objects.create(session_key=f"{at}", expire_date=at)
    done = maintain()
    for what in ("old attempts to log in", "refresh tokens that ran out", "sessions that ran out"):
        assert f"{what}: 1 deleted" in done
    assert BlacklistedToken.objects.get().token.jti == f"{soon}"


@pytest.mark.parametrize(("access", "deleted"), [("open", 1), ("emqx", 0), ("mosquitto", 0)])
def test_what_no_broker_is_to_be_told_is_deleted_with_its_tokens(settings, dev, access, deleted):
    BrokerChange.objects.create(device_uid=dev.device_uid, tenant=dev.tenant, token="x" * 64)
    settings.MQTT_ACCESS = access
    what = "changes that no broker is to be told"
    assert f"{what}: {deleted} to be deleted" in maintain("--dry-run")
    assert BrokerChange.objects.count() == 1
    assert f"{what}: {deleted} deleted" in maintain()
    assert BrokerChange.objects.count() == 1 - deleted


def test_receipts_are_pruned_by_age():
    Receipt.objects.update(received_at=datetime.now(UTC) - timedelta(days=8))
    store([message({"msg_id": "fresh"})])
    assert "receipts older than 7 days: 1 deleted" in maintain()
    assert Receipt.objects.get().msg_id == "fresh"


def test_many_receipts_are_pruned_block_by_block(dev):
    old = datetime.now(UTC) - timedelta(days=8)
    Receipt.objects.bulk_create(
        Receipt(device=dev, msg_id=f"{n:064}", digest=0, received_at=old) for n in range(5_000)
    )
    assert "receipts older than 7 days: 5000 deleted" in maintain()


def test_a_deleted_device_is_erased_with_all_it_said(dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rows.CHUNK_ROWS", 2)
    store([message([{"temp": n} for n in range(5)]), message(b"\xff")])
    store([message({"temp": 1}, uid="dev-02")])
    Device.objects.filter(pk=dev.pk).update(
        is_enabled=False, deleted_at=datetime.now(UTC) - timedelta(hours=2)
    )
    assert "deleted devices: 1 erased" in maintain()
    assert Device.objects.get().device_uid == "dev-02"
    assert Telemetry.objects.count() == Receipt.objects.count() == 1
    assert not RejectedMessage.objects.exists()
    assert DeviceState.objects.count() == 1


def test_many_rejected_messages_of_a_deleted_device_are_deleted_chunk_by_chunk(dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rows.CHUNK_ROWS", 2)
    for _ in range(5):
        rejected(dev.tenant)
    with CaptureQueriesContext(connection) as captured:
        erase(dev)
    deletions = [each for each in captured if 'DELETE FROM "telemetry_rejected' in each["sql"]]
    assert (len(deletions), RejectedMessage.objects.count()) == (3, 0)


def test_a_device_deleted_just_now_waits_for_its_last_batch(dev):
    Device.objects.update(is_enabled=False, deleted_at=datetime.now(UTC))
    assert "deleted devices: 0 erased" in maintain()


def test_a_dry_run_counts_and_changes_nothing(settings, dev):
    settings.HISTORY_DAYS = 20
    Receipt.objects.update(received_at=datetime.now(UTC) - timedelta(days=8))
    before = (Telemetry.objects.count(), Receipt.objects.count(), partitions.existing())
    said = maintain("--dry-run")
    assert "weeks of readings older than 20 days: 1 to be dropped" in said
    assert "receipts older than 7 days: 1 to be deleted" in said
    assert before == (Telemetry.objects.count(), Receipt.objects.count(), partitions.existing())


LONG_AGO = datetime.now(UTC) - timedelta(days=402)


def end(commands, at=LONG_AGO):
    """Commands that expired at a moment, as if they had been sent a day before."""
    begun = at - timedelta(days=1)
    commands.update(status="expired", created_at=begun, expires_at=at, finished_at=at)
    CommandBatch.objects.filter(commands__in=commands).update(created_at=begun, expires_at=at)


def batch(dev):
    devices = Device.objects.filter(pk=dev.pk)
    return send_to_many(Order("reboot", {}), devices, dev.tenant, {"all": True}, None).what


def test_commands_that_ended_long_ago_are_deleted_with_their_steps_and_batches(dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rows.CHUNK_ROWS", 2)
    old = [batch(dev) for _ in range(5)]
    end(Command.objects.filter(batch__in=old))
    kept = batch(dev)
    said = maintain()
    assert "commands that ended more than 400 days ago: 5 deleted" in said
    assert "batches of such commands: 5 deleted" in said
    assert CommandBatch.objects.get() == kept
    assert CommandTransition.objects.get().command == Command.objects.get()


def test_a_batch_stays_while_one_of_its_commands_does(dev):
    mixed = batch(dev)
    end(Command.objects.all())
    Command.objects.create(
        tenant=dev.tenant, device=dev, batch=mixed, cmd="ping", expires_at=timezone.now() + LIFE
    )
    assert "batches of such commands: 0 deleted" in maintain()
    assert list(mixed.commands.values_list("cmd", flat=True)) == ["ping"]


def test_an_open_command_stays_however_old_it_is(dev):
    sent = send(Order("reboot", {}), dev, None).what
    Command.objects.update(created_at=LONG_AGO)
    assert "days ago: 0 deleted" in maintain()
    assert Command.objects.get() == sent


def test_old_commands_and_batches_are_only_counted_in_a_dry_run(dev):
    batch(dev)
    end(Command.objects.all())
    said = maintain("--dry-run")
    assert "commands that ended more than 400 days ago: 1 to be deleted" in said
    assert "batches of such commands: 1 to be deleted" in said
    assert Command.objects.count() == CommandBatch.objects.count() == 1


def test_commands_of_a_deleted_device_are_deleted_chunk_by_chunk(dev, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.rows.CHUNK_ROWS", 2)
    for _ in range(5):
        batch(dev)
    with CaptureQueriesContext(connection) as captured:
        erase(dev)
    deletions = [each for each in captured if 'DELETE FROM "devices_command"' in each["sql"]]
    assert len(deletions) == 3
    assert (Command.objects.count(), CommandTransition.objects.count()) == (0, 0)
    assert not Device.objects.exists()
