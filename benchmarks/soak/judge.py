"""What is to hold at the end of a soak, and what does not."""

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.soak.accounts import Accounts, Counted
from benchmarks.soak.devices import Sent
from benchmarks.soak.samples import FEWEST, Watch, trend
from benchmarks.soak.visitors import Streams, Visitor

# By then caches are warm: what live streams keep for those who come back fills for five minutes.
LEAST_SECONDS = 20 * 60


class Course(NamedTuple):
    """All that was seen."""

    watch: Watch
    sent: Sent
    streams: Streams
    visitors: dict[str, Visitor]
    accounts: Accounts
    seconds: float


class Findings(NamedTuple):
    """What does not hold, in sentences; two tables."""

    broken: list[str]
    accounts: list[list[str]]
    others: list[list[str]]


def judge(course: Course) -> Findings:
    broken = [
        *conservation(course), *storage(course), *commands(course), *streams(course),
        *processes(course), *(each for visitor in course.visitors.values()
                              for each in visitor.failures[:5]),
    ]  # fmt: skip
    return Findings(broken, account_rows(course), other_rows(course))


def published(course: Course) -> Counted:
    """What has to become of it."""
    sent = course.sent
    return Counted(sent.kept + sent.outlived, sent.again, sent.bad)


def conservation(course: Course) -> Iterator[str]:
    """received = stored + duplicate + rejected, whoever counts."""
    expected = published(course)
    if course.sent.refused:
        yield f"The broker had no use for {course.sent.refused:,} messages."
    for who in ("log", "metrics", "database"):
        found: Counted = getattr(course.accounts, who)
        if found != expected:
            yield f"Published was {expected}, the {who} has {found}."


def storage(course: Course) -> Iterator[str]:
    """Each reading is there, or was deleted because it was too old; each bad message too."""
    sent, accounts = course.sent, course.accounts
    if accounts.rows != sent.kept:
        yield f"{sent.kept:,} readings are to be there, {accounts.rows:,} are."
    if accounts.outlived != sent.outlived:
        yield f"{sent.outlived:,} readings were too old, {accounts.outlived:,} were deleted."
    if accounts.rejected + accounts.overflow != sent.bad:
        yield (
            f"{sent.bad:,} messages were bad, {accounts.rejected:,} are kept, and "
            f"{accounts.overflow:,} were removed as too many."
        )


def commands(course: Course) -> Iterator[str]:
    """Each came to its device, and ended as it had to."""
    counts = course.visitors["commands"].counts
    expected = {"succeeded": counts["sent"] - counts["unheard"], "expired": counts["unheard"]}
    if course.accounts.commands != expected:
        yield f"Commands are to be {expected}, they are {course.accounts.commands}."
    if len(course.sent.heard) != counts["sent"]:
        yield f"{counts['sent']:,} commands were sent, devices had {len(course.sent.heard):,}."


def streams(course: Course) -> Iterator[str]:
    """None ended, and each had every reading of its devices once."""
    seen = course.streams
    if seen.ended or seen.events["reset"] or seen.events["closed"]:
        yield f"{seen.ended} streams ended; events: {dict(seen.events)}."
    expected = sum(course.sent.fresh[device] for device in seen.devices)
    if not seen.events["readings"] == len(seen.seen) == expected:
        yield (
            f"Streams are to have {expected:,} readings, they had {seen.events['readings']:,}, "
            f"of which {len(seen.seen):,} different ones."
        )


def processes(course: Course) -> Iterator[str]:
    """All are the ones that were started and, in a long run, hold no more than before."""
    yield from (f"{name} has ended." for name in course.watch.ended())
    for name, samples in course.watch.samples.items():
        if course.seconds < LEAST_SECONDS or len(samples) < FEWEST:
            continue
        found = trend(samples)
        if not found.is_flat(name):
            yield f"{name} grew by {found.grown / 1e6:.1f} MB in the second half."


def account_rows(course: Course) -> list[list[str]]:
    accounts = course.accounts
    lines = [
        ("published", published(course)),
        ("the ingestor's log", accounts.log),
        ("its metrics", accounts.metrics),
        ("the database's counters", accounts.database),
    ]
    table = [[name, f"{sum(found):,}", *(f"{each:,}" for each in found)] for name, found in lines]
    stored = f"{accounts.rows:,} + {accounts.outlived:,} deleted by retention"
    rejected = f"{accounts.rejected:,} + {accounts.overflow:,} above `REJECTED_MAX`"
    return [*table, ["rows in the database", "", stored, "", rejected]]


def other_rows(course: Course) -> list[list[str]]:
    visitors, sent = course.visitors, course.sent
    events = course.streams.events
    unheard = visitors["commands"].counts["unheard"]
    exports, upkeep = visitors["exports"], visitors["upkeep"]
    dropped = sum(n for what, n in upkeep.counts.items() if what.startswith("weeks of readings"))
    receipts = sum(n for what, n in upkeep.counts.items() if what.startswith("receipts"))
    return [
        ["published late at most", f"{sent.late:.2f} s"],
        ["events on streams", f"{sum(events.values()) - events['readings']:,}"],
        ["from publication to a stream", seconds(course.streams.latencies)],
        ["commands", f"{visitors['commands'].counts['sent']:,}, {unheard:,} not heard, so expired"],
        ["a command is accepted", seconds(visitors["commands"].seconds)],
        ["requests of an app", f"{visitors['api'].counts['requests']:,}"],
        ["an answer", seconds(visitors["api"].seconds)],
        ["files exported", f"{exports.counts['files']:,}, {exports.counts['rows']:,} rows"],
        ["a file", seconds(exports.seconds)],
        ["runs of maintain", f"{upkeep.counts['runs']:,}, {dropped} weeks dropped, "
                             f"{receipts:,} receipts deleted"],
        ["a run", seconds(upkeep.seconds)],
        ["scrapes", f"{visitors['metrics'].counts['scrapes']:,}"],
    ]  # fmt: skip


def seconds(taken: Sequence[float]) -> str:
    """Median, the 99th of a hundred, and the worst."""
    if len(taken) < 2:
        return "-"
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[98]
    figures = (statistics.median(taken), p99, max(taken))
    return " / ".join(f"{1e3 * each:,.0f}" for each in figures) + " ms (median / p99 / worst)"
