"""Brings the broker to what the database says of who may connect."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.brokers import sync
from devices.brokers.emqx.management import EmqxError
from devices.brokers.mosquitto.book import NotABook
from devices.brokers.mosquitto.conversation import Unanswered
from devices.brokers.sync import InTheWay, Outcome
from devices.mqtt.session import SessionTakenOver, SubscriptionRefused

LEFT = 2
NAMES = 10
EXIT_CODES = (
    "Ends with 0 when the broker is as the database says; 1 when that could not be found out or "
    "done; 2 when something is left: with --dry-run any difference, else what people have to do."
)
OPEN = (
    "MQTT__ACCESS is open: everybody may connect, so there is nothing to tell the broker. Set it "
    "to mosquitto or emqx first."
)
NO_FILE = "--file is for Mosquitto; EMQX asks the platform. Leave it out."
NO_PASSWORDS = (
    "MQTT__INGEST_PASSWORD and MQTT__DISPATCH_PASSWORD are not both set: nobody of the platform "
    "could connect. Set them; “manage.py check” says more."
)
OTHERS = (
    "left alone, since not ours: {names}. They reach whatever their roles allow: delete those that "
    "you do not know (mosquitto_ctrl dynsec deleteClient)."
)
NOT_WRITTEN = (
    "{path} cannot be read or written: {why}. Run this as a user who may, such as root, or name a "
    "file of your own and put it in place afterwards; see docs/mosquitto.md."
)


class Command(BaseCommand):
    help = (
        "Bring the accounts of Mosquitto to what the database says of who may connect, and list "
        "devices that need a new token; with EMQX, put off who would not be let in now."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what is different")
        parser.add_argument(
            "--file",
            type=Path,
            metavar="PATH",
            help="the dynamic-security.json of a Mosquitto that is stopped, instead of a running "
            "broker; made if there is none. New tokens of thousands of devices get in in seconds",
        )

    def handle(self, *args: Any, dry_run: bool, file: Path | None, **options: Any) -> None:
        try:
            outcome = _synced(file, dry_run=dry_run)
        except* (Unanswered, EmqxError, InTheWay, NotABook, ConnectionError) as errors:
            raise CommandError(str(errors.exceptions[0])) from errors
        except* (SessionTakenOver, SubscriptionRefused) as errors:
            raise CommandError(f"{errors.exceptions[0]} Use --file.") from errors
        except* OSError as errors:
            why = errors.exceptions[0]
            raise CommandError(NOT_WRITTEN.format(path=file, why=why)) from errors
        self._say(outcome, dry_run=dry_run)
        if outcome.left or (dry_run and outcome.done):
            raise SystemExit(LEFT)

    def _say(self, outcome: Outcome, *, dry_run: bool) -> None:
        for word, names in outcome.done.items():
            self.stdout.write(f"{'to be ' if dry_run else ''}{word}: {_listed(names)}")
        for word, names in outcome.left.items():
            self.stdout.write(self.style.WARNING(f"{word}: {_listed(names)}"))
        if outcome.others:
            self.stdout.write(self.style.WARNING(OTHERS.format(names=_listed(outcome.others))))
        elif not (outcome.done or outcome.left):
            self.stdout.write(self.style.SUCCESS("The broker is as the database says."))


def _synced(file: Path | None, *, dry_run: bool) -> Outcome:
    if settings.MQTT_ACCESS == "open":
        raise InTheWay(OPEN)
    if settings.MQTT_ACCESS == "emqx":
        if file:
            raise InTheWay(NO_FILE)
        return sync.emqx_live(dry_run=dry_run)
    if not (settings.MQTT_INGEST_PASSWORD and settings.MQTT_DISPATCH_PASSWORD):
        raise InTheWay(NO_PASSWORDS)
    if file:
        return sync.mosquitto_file(file, dry_run=dry_run)
    return sync.mosquitto_live(dry_run=dry_run)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES])
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return f"{len(names)} ({shown}{more})"
