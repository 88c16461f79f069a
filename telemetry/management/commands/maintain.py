"""Upkeep of the database; run it daily, from cron or a timer."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from telemetry.maintenance import jobs


class Command(BaseCommand):
    help = "Make partitions ahead, drop old history, prune what ran out, erase deleted devices."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say how much there is to do"
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        for job in jobs(timezone.now()):
            count = job.pending() if dry_run else sum(job.work())
            line = f"{job.what}: {count} {'to be ' if dry_run else ''}{job.done}"
            self.stdout.write(self.style.SUCCESS(line) if count else line)
