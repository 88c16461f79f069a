"""Upkeep of the database. Run it with --due every few minutes, from a loop, cron or a timer."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from django.utils import timezone

from telemetry.upkeep import running
from telemetry.upkeep.jobs import jobs


class Command(BaseCommand):
    help = "Make partitions ahead, remove what was kept for long enough, erase deleted devices."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say how much there is to do"
        )
        parser.add_argument(
            "--due",
            action="store_true",
            help="only jobs whose time has come: most are due a day after they last ended well, "
            "a few that are cheap always",
        )
        parser.add_argument(
            "--only",
            action="append",
            metavar="JOB",
            choices=[job.name for job in jobs(timezone.now())],
            help="only this job; may be given several times: %(choices)s",
        )

    def handle(
        self, *args: Any, dry_run: bool, due: bool, only: list[str] | None, **options: Any
    ) -> None:
        now = timezone.now()
        every = jobs(now)
        try:
            chosen = [job for job in every if not only or job.name in only]
            if due:
                chosen = running.due(chosen, now)
            if not dry_run:
                running.forget_others(every)
            self._report(running.count(chosen) if dry_run else running.run(chosen), dry_run)
        except running.AnotherRuns:
            self.stdout.write("Another “maintain” is at work in this database; this one ends.")
        except Error as error:
            raise CommandError(f"The database is away: {str(error).strip()}") from error

    def _report(self, ended: Iterator[running.Ended], dry_run: bool) -> None:
        """Say how each job ended. Raises CommandError at the end, if one failed."""
        failed: list[str] = []
        others = "All others are done."
        try:
            for job, number, seconds, error in ended:
                if error:
                    failed.append(job.name)
                    said = f"failed after {seconds:.1f} s: {one_line(error)}"
                    self.stderr.write(f"{job.what}: {said}")
                    continue
                line = f"{job.what}: {number} {'to be ' if dry_run else ''}{job.done}"
                self.stdout.write(self.style.SUCCESS(line) if number else line)
        except running.AnotherRuns:
            # With the connection that one has cost, the lock may go to another process.
            if not failed:
                raise
            others = "Another “maintain” is at work by now, and does the others."
        if failed:
            raise CommandError(
                f"These failed, and are tried again by the next run: {', '.join(failed)}. {others}"
            )


def one_line(error: Error) -> str:
    return " ".join(str(error).split())
