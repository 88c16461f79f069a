"""Whether what has to be done now and then is done: “manage.py maintain”."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from iotplatform.doctor.finding import Finding, ok, problem, warning
from telemetry import partitions
from telemetry.models import RejectedOverflow, Upkeep
from telemetry.upkeep.jobs import jobs

DAILY = timedelta(hours=26)
LATE = timedelta(days=3)
SOON = timedelta(days=1)
MAINTAIN = (
    "Run “manage.py maintain”, and have “maintain --due” run by itself: the service “maintenance”."
)
SEE = "Run “manage.py maintain” and see what it says."


def weeks() -> Iterator[Finding]:
    """Whether there are tables for the readings of the next days."""
    now = timezone.now()
    missing = partitions.missing_ahead(now)
    if not missing:
        last = max(partitions.existing()) + timedelta(days=6)
        yield ok("partitions", f"There are tables for readings until {last}.")
        return
    said = f"There is no table for readings of the week of {missing[0]}."
    # The ingestor makes those that it lacks, but waits meanwhile, and needs the right to.
    make = problem if missing[0] <= partitions.week_of(now + SOON) else warning
    yield make("partitions", said, MAINTAIN)


def runs() -> Iterator[Finding]:
    """When it last ran, and which of its jobs fail."""
    now = timezone.now()
    every = {job.name: job.every for job in jobs(now)}
    rows = Upkeep.objects.filter(job__in=every).order_by("ended_at")
    ended = {row.job: row.ended_at for row in rows}
    if not ended:
        yield warning("upkeep", "It never ran: nothing old is deleted.", MAINTAIN)
        return
    last = max(ended.values())
    said = f"It last ran {last:%Y-%m-%d %H:%M} UTC."
    if now - last > LATE:
        yield problem("upkeep", said, MAINTAIN)
    elif now - last > DAILY:
        yield warning("upkeep", said, MAINTAIN)
    elif failing := [job for job, at in ended.items() if last - at > every[job] + DAILY]:
        said = f"{failing[0]} has not ended well since {ended[failing[0]]:%Y-%m-%d %H:%M} UTC."
        yield problem("upkeep", said, SEE)
    elif never := [job for job in every if job not in ended]:
        # Or not yet: the first run may be at work, or the job be new.
        yield warning("upkeep", f"{never[0]} has never ended well.", SEE)
    else:
        yield ok("upkeep", said)


def overflow() -> Iterator[Finding]:
    """Whether rejected messages were removed, because a tenant has too many of them."""
    recent = RejectedOverflow.objects.filter(last_at__gt=timezone.now() - DAILY)
    if number := recent.aggregate(all=Sum("number"))["all"]:
        yield warning(
            "rejected messages",
            f"Of some tenants there are more than REJECTED_MAX: {number:,} of the oldest were "
            "removed, some within a day.",
            "See in the console, under Rejected messages, why devices are refused.",
        )
    else:
        yield ok("rejected messages", "None was removed for being too many.")
