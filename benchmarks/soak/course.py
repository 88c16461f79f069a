"""The course of a soak: everything begins, goes on for a time, comes to rest, and is judged."""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.soak import samples, visitors
from benchmarks.soak.accounts import commands_left, counted_by_database, take
from benchmarks.soak.devices import Devices, Plan, Sent
from benchmarks.soak.ground import Ground, started
from benchmarks.soak.judge import LEAST_SECONDS, Course, Findings, judge
from benchmarks.soak.samples import Watch
from benchmarks.soak.visitors import Streams

SAMPLE_SECONDS = 10.0
SAY_SECONDS = 60.0
REST_SECONDS = 60.0


def run(options: argparse.Namespace) -> bool:
    """Whether everything held that is to hold; prints what was seen."""
    with started(options.devices) as ground, ExitStack() as stack:
        plan = Plan(ground.bench.broker.port, options.devices, options.rate)
        devices = stack.enter_context(Devices(plan))
        streams = stack.enter_context(Streams(ground, options.streams))
        course = follow(ground, devices, streams, options)
        findings = judge(course)
    report(course, findings, options)
    return not findings.broken


def follow(
    ground: Ground, devices: Devices, streams: Streams, options: argparse.Namespace
) -> Course:
    scraping, read = visitors.scrapes(ground)
    keeping = visitors.upkeep(ground)
    others = (
        keeping,
        scraping,
        visitors.exports(ground),
        visitors.poll(ground, options.devices),
        visitors.commands(ground, options.devices, options.commands),
    )
    watch = Watch(ground)
    devices.begin()
    began = time.monotonic()
    with ExitStack() as stack:
        for each in others:
            stack.enter_context(each)
        go_on(ground, devices, watch, options.minutes * 60)
    sent = devices.finish()
    seconds = time.monotonic() - began
    come_to_rest(ground, sent)
    keeping.do()
    # The last events are on their way.
    time.sleep(2)
    scraping.do()
    accounts = take(ground, keeping, read)
    return Course(watch, sent, streams, {each.name: each for each in others}, accounts, seconds)


def go_on(ground: Ground, devices: Devices, watch: Watch, seconds: float) -> None:
    """Looks at the processes now and then, and says each minute how it goes."""
    began = said = time.monotonic()
    with ground.connect() as connection:
        while (passed := time.monotonic() - began) < seconds:
            watch.look()
            for process in ground.processes.values():
                process.check()
            published = devices.published()
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                counted = sum(counted_by_database(connection))
                print(f"{passed / 60:4.0f} min: {published:,} published, {counted:,} received")
            time.sleep(min(SAMPLE_SECONDS, max(0.0, began + seconds - time.monotonic())))


def come_to_rest(ground: Ground, sent: Sent) -> None:
    """Returns once everything that was published is stored and every command has ended, or after a
    time in which it should have."""
    deadline = time.monotonic() + REST_SECONDS
    with ground.connect() as connection:
        while time.monotonic() < deadline:
            if sum(counted_by_database(connection)) == sent.total and not commands_left(connection):
                return
            time.sleep(0.5)


def report(course: Course, findings: Findings, options: argparse.Namespace) -> None:
    rate = course.sent.total / course.seconds
    print(
        f"\n{course.seconds / 60:.1f} minutes, {rate:,.0f} messages a second of "
        f"{options.devices:,} devices"
    )
    print_markdown(samples.HEAD, samples.rows(course.watch.samples))
    print_markdown(("", "received", "stored", "duplicate", "rejected"), findings.accounts)
    print_markdown(("", ""), findings.others)
    for line in findings.broken:
        print(f"BROKEN: {line}")
    if not findings.broken:
        short = course.seconds < LEAST_SECONDS
        print("\nEverything held." + short * " It was too short to tell whether memory stays flat.")


def print_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as docs/operations.md has it."""
    print()
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
