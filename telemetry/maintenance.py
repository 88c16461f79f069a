"""What has to be done now and then: partitions ahead, old history of readings and commands,
receipts, deleted devices, what the types of devices keep no longer, and what nobody is to be told.

Every job works in small transactions and may run beside live traffic, or be interrupted.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import LoginAttempt
from devices.alerts.outbox import outlived as outlived_alerts
from devices.daemon.heartbeat import FORGOTTEN_AFTER
from devices.models import BrokerChange, Command, CommandBatch, Device, Heartbeat
from telemetry import partitions
from telemetry.models import MessageCount, Receipt, RejectedMessage

CHUNK_ROWS = 10_000
CHUNK_BLOCKS = 1_000
# By then a device's last batch has long been committed: nothing of it appears after it is gone.
ERASE_AFTER = timedelta(hours=1)
COUNTED_FOR = timedelta(days=2)


class Job(NamedTuple):
    """One job: `pending` says how much there is to do, `work` yields how much it did."""

    what: str
    done: str
    pending: Callable[[], int]
    work: Callable[[], Iterator[int]]


def jobs(now: datetime) -> list[Job]:
    """All jobs, as of `now`."""
    history = now - timedelta(days=settings.HISTORY_DAYS + 1)
    receipts = now - timedelta(days=settings.DEDUPE_DAYS)
    deleted = Device.objects.filter(deleted_at__lt=now - ERASE_AFTER)
    return [
        Job(
            "weeks ahead",
            "made",
            lambda: len(partitions.missing_ahead(now)),
            lambda: iter([len(partitions.make_ahead(now))]),
        ),
        Job(
            f"weeks of readings older than {settings.HISTORY_DAYS} days",
            "dropped",
            lambda: len(partitions.ended_before(history)),
            lambda: drop_weeks_before(history),
        ),
        Job(
            "readings older than their device's type keeps them",
            "deleted",
            lambda: sum(map(count_outlived, outlived(now))),
            lambda: delete_outlived(now),
        ),
        Job(
            f"receipts older than {settings.DEDUPE_DAYS} days",
            "deleted",
            lambda: Receipt.objects.filter(received_at__lt=receipts).count(),
            lambda: prune_receipts(receipts),
        ),
        *deletions(now, history),
        Job("deleted devices", "erased", deleted.count, lambda: map(erase, list(deleted))),
    ]


def deletions(now: datetime, history: datetime) -> list[Job]:
    """Those that delete rows which are too old, or of no use any more."""
    return [
        deletion(
            f"rejected messages older than {settings.HISTORY_DAYS} days",
            RejectedMessage.objects.filter(received_at__lt=history).order_by("received_at"),
        ),
        deletion(f"commands that ended more than {settings.HISTORY_DAYS} days ago", ended(history)),
        deletion("batches of such commands", emptied(history)),
        deletion("old attempts to log in", LoginAttempt.objects.outdated(now)),
        deletion(
            "refresh tokens that ran out", OutstandingToken.objects.filter(expires_at__lt=now)
        ),
        deletion("sessions that ran out", Session.objects.filter(expire_date__lt=now)),
        deletion("changes that no broker is to be told", untold()),
        deletion(
            "counters of messages older than two days",
            MessageCount.objects.filter(minute__lt=now - COUNTED_FOR).order_by("minute"),
        ),
        deletion(
            "signs of life of processes that gave none for a day",
            Heartbeat.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER),
        ),
        *(deletion(what, rows) for what, rows in outlived_alerts(now)),
    ]


def deletion(what: str, rows: QuerySet[Any]) -> Job:
    return Job(what, "deleted", rows.count, lambda: delete(rows))


def ended(before: datetime) -> QuerySet[Command]:
    """Commands that ended before a moment, the oldest first."""
    return Command.objects.filter(finished_at__lt=before).order_by("number")


def untold() -> QuerySet[BrokerChange]:
    """Left over by a broker that was not open: nobody tells them, and they may have tokens."""
    changes = BrokerChange.objects.all()
    return changes if settings.MQTT_ACCESS == "open" else changes.none()


def emptied(before: datetime) -> QuerySet[CommandBatch]:
    """Batches from before a moment that have no command but such as ended before it, too."""
    others = Command.objects.filter(batch=OuterRef("pk")).exclude(finished_at__lt=before)
    return CommandBatch.objects.filter(~Exists(others), created_at__lt=before)


def drop_weeks_before(moment: datetime) -> Iterator[int]:
    """Drop the partitions that hold nothing newer than `moment`."""
    for week in partitions.ended_before(moment):
        partitions.drop(week)
        yield 1


class Outlived(NamedTuple):
    """The readings of one device in one week that are older than the device's type keeps them."""

    table: str
    device_id: int
    before: datetime


# Only the oldest reading is looked at, which is the first that the index has of the device. Asked
# whether there is any that old, the planner expects to find one at once, and reads the whole week
# for every device that has none.
OUTLIVED = """
SELECT device.id, kept.since
FROM devices_device AS device JOIN devices_devicetype AS type ON type.id = type_id
CROSS JOIN LATERAL (SELECT %(now)s - retention_days * interval '1 day' AS since) AS kept
CROSS JOIN LATERAL (
    SELECT ts FROM {table} WHERE device_id = device.id ORDER BY ts LIMIT 1
) AS oldest
WHERE retention_days < %(history)s AND %(week)s < kept.since AND oldest.ts < kept.since
ORDER BY device.id
"""


def outlived(now: datetime) -> Iterator[Outlived]:
    """What types of devices keep no longer, week by week."""
    for week in partitions.existing():
        table = partitions.name_of(week)
        parameters = {"now": now, "history": settings.HISTORY_DAYS, "week": week}
        with connection.cursor() as cursor:
            cursor.execute(OUTLIVED.format(table=table), parameters)
            found = cursor.fetchall()
        yield from (Outlived(table, *row) for row in found)


def count_outlived(readings: Outlived) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {readings.table} WHERE device_id = %s AND ts < %s",
            [readings.device_id, readings.before],
        )
        (count,) = cursor.fetchone()
    return int(count)


def delete_outlived(now: datetime) -> Iterator[int]:
    """Delete what types of devices keep no longer, a chunk a transaction.

    Each chunk starts where the one before ended, or it would pass all that is dead already.
    """
    for table, device_id, before in outlived(now):
        query = (
            f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {table} WHERE device_id = %s AND ts >= %s AND ts < %s "
            f"ORDER BY ts LIMIT {CHUNK_ROWS})) RETURNING ts) SELECT count(*), max(ts) FROM gone"
        )
        start: datetime | None = datetime.min.replace(tzinfo=UTC)
        while start:
            with connection.cursor() as cursor:
                cursor.execute(query, [device_id, start, before])
                deleted, start = cursor.fetchone()
            yield deleted


def prune_receipts(before: datetime) -> Iterator[int]:
    """Delete old receipts, some blocks of the table a transaction.

    By blocks, as each is then read once; looking for the next thousand rows by age would pass all
    the dead ones of the chunks before, every time.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('telemetry_receipt') / 8192")
        (blocks,) = cursor.fetchone()
        for start in range(0, blocks, CHUNK_BLOCKS):
            cursor.execute(
                "DELETE FROM telemetry_receipt "
                "WHERE ctid >= %s::tid AND ctid < %s::tid AND received_at < %s",
                [f"({start},0)", f"({start + CHUNK_BLOCKS},0)", before],
            )
            yield cursor.rowcount


def delete(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete `rows`, a chunk a transaction, and say how many of them themselves are gone."""
    everything = rows.model._default_manager
    while chunk := list(rows.values_list("pk", flat=True)[:CHUNK_ROWS]):
        with transaction.atomic():
            # Nobody adds to what belongs to them meanwhile.
            list(everything.filter(pk__in=chunk).order_by("pk").select_for_update().values("pk"))
            everything.filter(pk__in=chunk).delete()
        yield len(chunk)


def erase(device: Device) -> int:
    """Delete a device for good with all it ever said, the device itself last."""
    for week in partitions.existing():
        _delete_of(device, partitions.name_of(week))
    _delete_of(device, "telemetry_receipt")
    rejected = RejectedMessage.objects.filter(tenant=device.tenant_id)
    sum(delete(rejected.filter(device_uid=device.device_uid)))
    sum(delete(device.commands.order_by("number")))
    device.delete()
    return 1


def _delete_of(device: Device, table: str) -> None:
    """Delete a device's rows of `table`, a chunk a transaction, by the index on `device_id`."""
    query = (
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM {table} WHERE device_id = %s LIMIT {CHUNK_ROWS}))"
    )
    deleted = CHUNK_ROWS
    with connection.cursor() as cursor:
        while deleted == CHUNK_ROWS:
            cursor.execute(query, [device.pk])
            deleted = cursor.rowcount
