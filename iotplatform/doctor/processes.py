"""The processes between broker and database: whether they live and keep up."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from devices.daemon.heartbeat import SILENT_AFTER
from devices.models import BrokerChange, DeviceQueue, Heartbeat, ProcessKind
from iotplatform.doctor.finding import Finding, ok, problem, warning
from iotplatform.home.health import LATE_AFTER


def age_of(field: str) -> ExpressionWrapper:
    """How long ago, by the clock of the database, which everybody there shares."""
    return ExpressionWrapper(Now() - F(field), output_field=DurationField())


def ingestors() -> Iterator[Finding]:
    yield from _processes(ProcessKind.INGESTOR, "nothing that devices publish is stored")


def dispatchers() -> Iterator[Finding]:
    yield from _processes(ProcessKind.DISPATCHER, "no command leaves")


def _processes(kind: ProcessKind, cost: str) -> Iterator[Finding]:
    subject = str(kind.value)
    beats = list(
        Heartbeat.objects.filter(kind=kind)
        .annotate(age=age_of("beat_at"), waits=age_of("waiting_since"))
        .order_by("age")
    )
    living = [beat for beat in beats if beat.age < SILENT_AFTER]
    advice = f"Start “manage.py run_{subject}”, or see what it says: docker compose logs {subject}"
    if not living:
        since = f"None has spoken for {whole(beats[0].age)}" if beats else "None is at work"
        yield problem(subject, f"{since}: {cost}.", advice)
        return
    for beat in beats[len(living) :]:
        said = f"“{beat.name}” has not spoken for {whole(beat.age)}: it was killed, or hangs."
        yield warning(subject, said, "End it if it is there; after a day it is forgotten.")
    if not any(beat.detail.get("connected") for beat in living):
        advice = "See what is said of the broker here, and in the log of the process."
        yield problem(subject, f"It has no connection to the broker: {cost}.", advice)
        return
    waits = max((beat.waits for beat in living if beat.waits), default=timedelta())
    if waits > LATE_AFTER:
        advice = "It does not keep up: see docs/scaling.md, and its log for errors of the database."
        yield warning(subject, f"Work has been waiting for {whole(waits)}.", advice)
        return
    rate = sum(beat.detail.get("rate", 0) for beat in living)
    yield ok(subject, f"{len(living)} at work, {rate:.0f} messages a second.")


def queues() -> Iterator[Finding]:
    """How long commands, and changes that the broker has to be told, have been waiting."""
    due = DeviceQueue.objects.filter(look_at__lt=Now()).annotate(waits=age_of("look_at"))
    oldest = due.order_by("look_at").values_list("waits", flat=True).first()
    change = BrokerChange.objects.annotate(waits=age_of("noted_at")).order_by("noted_at").first()
    is_late = change is not None and change.waits > LATE_AFTER
    if oldest and oldest > LATE_AFTER:
        said = f"Commands have been due for {whole(oldest)}."
        yield warning("queues", said, "See what is said of the dispatcher here, and in its log.")
    if change and is_late:
        count = BrokerChange.objects.count()
        said = f"The broker is to be told of {count:,} devices, one since {whole(change.waits)}."
        advice = "See what is said of the dispatcher and the broker here."
        yield warning("queues", f"{said} {change.error}".strip(), advice)
    if not is_late and not (oldest and oldest > LATE_AFTER):
        yield ok("queues", "Nothing waits for long.")


def whole(time: timedelta) -> str:
    """Without parts of a second: “1 day, 0:02:10”."""
    return str(timedelta(seconds=int(time.total_seconds())))
