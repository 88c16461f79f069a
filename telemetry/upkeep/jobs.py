"""What has to be done now and then: partitions ahead, what was kept for long enough, what ran out,
and devices that were deleted.

Every job works in small transactions and may run beside live traffic, or be interrupted. What no
job takes away is bounded by something else; the list is in tests/telemetry/upkeep.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, Q, QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import LoginAttempt
from devices.alerts.outbox import outlived as outlived_alerts
from devices.commands.outbox import expire
from devices.daemon.heartbeat import FORGOTTEN_AFTER
from devices.models import (
    BrokerChange,
    Command,
    CommandBatch,
    Credential,
    Device,
    Heartbeat,
)
from telemetry import partitions
from telemetry.models import MessageCount, Receipt, RejectedMessage
from telemetry.upkeep import readings, rejected
from telemetry.upkeep.rows import delete, erase

# By then a device's last batch has long been committed: nothing of it appears after it is gone.
ERASE_AFTER = timedelta(hours=1)
COUNTED_FOR = timedelta(days=2)
# Who changed what is asked for later than what a device said.
LEAST_CHANGES = 366
ALWAYS, DAILY = timedelta(0), timedelta(days=1)


class Job(NamedTuple):
    """One job: `pending` says how much there is to do, `work` yields how much it did.

    `every` is how often it is due; `name` is that of its row of `Upkeep`.
    """

    name: str
    what: str
    done: str
    pending: Callable[[], int]
    work: Callable[[], Iterator[int]]
    every: timedelta = DAILY


def jobs(now: datetime) -> list[Job]:
    """All jobs, as of `now`, in the order in which what one does is nothing for the next ones."""
    return [*of_readings(now), *of_rejected(now), *deletions(now), *of_devices(now)]


def history(now: datetime) -> datetime:
    """What is older than this is kept no longer, whatever it is."""
    return now - timedelta(days=settings.HISTORY_DAYS + 1)


def of_readings(now: datetime) -> list[Job]:
    dropped, receipts = history(now), now - timedelta(days=settings.DEDUPE_DAYS)
    return [
        Job(
            "weeks_ahead",
            "weeks ahead",
            "made",
            lambda: len(partitions.missing_ahead(now)),
            lambda: readings.make_ahead(now),
            ALWAYS,
        ),
        Job(
            "old_weeks",
            f"weeks of readings older than {settings.HISTORY_DAYS} days",
            "dropped",
            lambda: len(partitions.ended_before(dropped)),
            lambda: readings.drop_weeks_before(dropped),
        ),
        Job(
            "outlived_readings",
            "readings older than their device's type or tenant keeps them",
            "deleted",
            lambda: readings.count_outlived(now, dropped),
            lambda: readings.delete_outlived(now, dropped),
        ),
        Job(
            "receipts",
            f"receipts older than {settings.DEDUPE_DAYS} days",
            "deleted",
            lambda: Receipt.objects.filter(received_at__lt=receipts).count(),
            lambda: readings.prune_receipts(receipts),
        ),
    ]


def of_rejected(now: datetime) -> list[Job]:
    """Open ones go as those that were dealt with do: for how long bytes are kept that nobody chose
    to keep must not depend on whether anybody looks."""
    old = now - timedelta(days=settings.REJECTED_DAYS)
    return [
        Job(
            "rejected_old",
            f"rejected messages older than {settings.REJECTED_DAYS} days",
            "deleted",
            lambda: RejectedMessage.objects.filter(received_at__lt=old).count(),
            lambda: rejected.remove_old(old),
        ),
        Job(
            "rejected_excess",
            f"rejected messages beyond {settings.REJECTED_MAX} of a tenant",
            "removed",
            lambda: rejected.count_excess(old),
            lambda: rejected.remove_excess(old),
            ALWAYS,
        ),
    ]


def deletions(now: datetime) -> list[Job]:
    """Those that delete rows which are too old, or of no use any more."""
    before, days = history(now), settings.HISTORY_DAYS
    changes = max(days, LEAST_CHANGES)
    return [
        deletion("commands_ended", f"commands that ended more than {days} days ago", ended(before)),
        deletion("command_batches", "batches of such commands", emptied(before)),
        deletion(
            "changes",
            f"changes by people, noted more than {changes} days ago",
            LogEntry.objects.filter(action_time__lt=now - timedelta(days=changes)).order_by("pk"),
        ),
        deletion(
            "credentials_ended", f"credentials that ended {days} days ago", outdated(before)
        ),
        deletion("login_attempts", "old attempts to log in", LoginAttempt.objects.outdated(now)),
        deletion(
            "refresh_tokens",
            "refresh tokens that ran out",
            OutstandingToken.objects.filter(expires_at__lt=now),
        ),
        deletion(
            "sessions", "sessions that ran out", Session.objects.filter(expire_date__lt=now)
        ),
        deletion("broker_changes", "changes that no broker is to be told", untold()),
        deletion(
            "message_counts",
            "counters of messages older than two days",
            MessageCount.objects.filter(minute__lt=now - COUNTED_FOR).order_by("minute"),
        ),
        deletion(
            "heartbeats",
            "signs of life of processes that gave none for a day",
            Heartbeat.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER),
        ),
        *(deletion(*job) for job in outlived_alerts(now)),
    ]  # fmt: skip


def of_devices(now: datetime) -> list[Job]:
    over = Command.objects.filter(finished_at__isnull=True, expires_at__lte=now)
    deleted = Device.objects.filter(deleted_at__lt=now - ERASE_AFTER)
    return [
        Job(
            "commands_expired",
            "commands whose time ran out while no dispatcher was there",
            "ended",
            over.count,
            lambda: iter(expire, 0),
            ALWAYS,
        ),
        Job(
            "deleted_devices",
            "deleted devices",
            "erased",
            deleted.count,
            lambda: map(erase, list(deleted)),
            ALWAYS,
        ),
    ]


def deletion(name: str, what: str, rows: QuerySet[Any]) -> Job:
    return Job(name, what, "deleted", rows.count, lambda: delete(rows))


def ended(before: datetime) -> QuerySet[Command]:
    """Commands that ended before a moment, the oldest first."""
    return Command.objects.filter(finished_at__lt=before).order_by("number")


def emptied(before: datetime) -> QuerySet[CommandBatch]:
    """Batches from before a moment that have no command but such as ended before it, too."""
    others = Command.objects.filter(batch=OuterRef("pk")).exclude(finished_at__lt=before)
    return CommandBatch.objects.filter(~Exists(others), created_at__lt=before)


def outdated(before: datetime) -> QuerySet[Credential]:
    """Credentials that ended before a moment; a device's newest stays, whatever became of it: the
    next one is for the same further devices."""
    newer = Credential.objects.filter(device=OuterRef("device"), pk__gt=OuterRef("pk"))
    is_over = Q(revoked_at__lt=before) | Q(expires_at__lt=before)
    return Credential.objects.filter(is_over, Exists(newer)).order_by("pk")


def untold() -> QuerySet[BrokerChange]:
    """Left over by a broker that was not open: nobody tells them, and they may have tokens."""
    changes = BrokerChange.objects.all()
    return changes if settings.MQTT_ACCESS == "open" else changes.none()
