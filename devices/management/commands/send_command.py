"""A command to one device, from a terminal or a script."""

import argparse
import contextlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

from django.contrib.auth.management import get_system_username
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import APIException

from devices import models
from devices.commands.following import follow
from devices.commands.meanings import meaning_of
from devices.commands.reasons import NO_DISPATCHER
from devices.commands.sending import LIFE, LONGEST_LIFE, Order, send
from devices.models import CommandStatus, CommandTransition, Device
from devices.models.commands import CMD_LENGTH
from devices.validation import NoJSON, read_json, validate_cmd, validate_params

NAME_LENGTH = 100
REFUSED, FAILED, TAKEN_BACK, OPEN = 1, 2, 3, 4
EXIT_CODES = (
    "Ends with 0 when the device has carried it out (without --wait: when it is queued); 1 when it "
    "was refused; 2 when it failed; 3 when it expired or was cancelled; 4 when it was still open "
    "after --wait, or could not be watched any longer."
)
WHY_EXPIRED = {
    False: "The device did not answer in time.",
    True: "The device began, and did not say in time how it ended.",
}


class Command(BaseCommand):
    help = "Send a command to a device and, with --wait, see what becomes of it."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

        def refuse(message: str) -> NoReturn:
            parser.print_usage(sys.stderr)
            parser.exit(REFUSED, f"{parser.prog}: error: {message}\n")

        if parser.called_from_command_line:
            # argparse ends with 2, which says here that the device failed.
            parser.error = refuse  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device_uid", help="such as dev-01")
        parser.add_argument("cmd", help="what it shall do, such as reboot")
        params = parser.add_mutually_exclusive_group()
        params.add_argument(
            "--param",
            type=param,
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="one of its params, again for each; the value is JSON, or else a text",
        )
        params.add_argument(
            "--params", type=json_object, metavar="JSON", help="all of its params, as an object"
        )
        parser.add_argument(
            "--expires-in",
            type=life,
            default=LIFE,
            metavar="SECONDS",
            help="how long it is worth doing (default: a day)",
        )
        parser.add_argument(
            "--wait", type=seconds, metavar="SECONDS", help="how long to watch it, at most"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        command = self._send(options)
        self._say(f"{command.cmd} to {options['device_uid']}: {command.id}")
        if options["wait"] is None:
            return
        try:
            self._follow(command, options["wait"])
        except (OperationalError, InterfaceError) as error:
            raise CommandError(
                f"The database is away: {str(error).strip()}\nThe command stays on its way; this "
                "only cannot watch it any longer.",
                returncode=OPEN,
            ) from error
        self._end(command)

    def _follow(self, command: models.Command, seconds: float) -> None:
        try:
            for step in follow(command, seconds):
                self._say(_line(step))
        except KeyboardInterrupt:
            self._say("")

    def _send(self, options: dict[str, Any]) -> models.Command:
        params = _as_object(options["param"]) if options["params"] is None else options["params"]
        device = Device.objects.filter(
            device_uid=options["device_uid"], deleted_at__isnull=True
        ).first()
        if device is None:
            raise CommandError(
                f"There is no device “{options['device_uid']}”. Its first message creates it, or a "
                "person does."
            )
        _check(options["cmd"], params)
        order = Order(options["cmd"], params, options["expires_in"])
        try:
            sent = send(order, device, by=None, name=_name())
        except APIException as error:
            raise CommandError(_text(error.detail)) from error
        command: models.Command = sent.what
        return command

    def _end(self, command: models.Command) -> None:
        """Say how it ended, if it did, and raise what the exit code comes from."""
        if command.result is not None:
            self._say(json.dumps(command.result, ensure_ascii=False))
        match command.status:
            case CommandStatus.SUCCEEDED:
                return
            case CommandStatus.FAILED:
                error = command.error or "The device failed and did not say why."
                raise CommandError(error, returncode=FAILED)
            case CommandStatus.EXPIRED:
                why = command.reason or WHY_EXPIRED[command.acknowledged_at is not None]
                raise CommandError(f"It has expired. {why}", returncode=TAKEN_BACK)
            case CommandStatus.CANCELLED:
                raise CommandError("It was cancelled.", returncode=TAKEN_BACK)
        why = command.reason or _why_open(command)
        raise CommandError(
            f"It is {command.status} and not over yet. {why} It stays open until "
            f"{command.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
            returncode=OPEN,
        )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        # Into a pipe as well, whoever reads it sees each step when it comes.
        self.stdout.flush()


def _check(cmd: str, params: dict[str, Any]) -> None:
    with _refusals_of("cmd"):
        if not 1 <= len(cmd) <= CMD_LENGTH:
            raise ValidationError(f"Use 1 to {CMD_LENGTH} characters.")
        validate_cmd(cmd)
    with _refusals_of("params"):
        validate_params(params)


@contextlib.contextmanager
def _refusals_of(name: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise CommandError(f"{name}: {_said(error)}") from error


def _name() -> str:
    """Who asks: nobody is logged in, so it is a person of this machine."""
    user = get_system_username()[:NAME_LENGTH]
    return f"terminal, {user}" if user else "terminal"


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise CommandError(f"--param: “{key}” is given {count} times.")
    return dict(pairs)


def _why_open(command: models.Command) -> str:
    is_untouched = command.status == CommandStatus.QUEUED and not command.claimed_at
    return NO_DISPATCHER if is_untouched else meaning_of(command)


def _line(step: CommandTransition) -> str:
    said = "  ".join(filter(None, (step.by, step.detail)))
    return f"{step.at:%H:%M:%S.%f}"[:-3] + f" UTC  {step.status:12}  {said}".rstrip()


def _said(error: ValidationError) -> str:
    return " ".join(error.messages)


def _text(detail: Any) -> str:
    """What an error of REST framework says, in one line."""
    if isinstance(detail, dict):
        return " ".join(f"{name}: {_text(said)}" for name, said in detail.items())
    return " ".join(map(_text, detail)) if isinstance(detail, list) else str(detail)


def param(text: str) -> tuple[str, Any]:
    key, is_given, value = text.partition("=")
    if not key or not is_given:
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, unlike “{text}”")
    try:
        return key, read_json(value)
    except NoJSON:
        return key, value
    except ValidationError as error:
        said = f"{key}: {_said(error)} If it is a text, put it in quotes: '{key}=\"…\"'"
        raise argparse.ArgumentTypeError(said) from error


def json_object(text: str) -> dict[str, Any]:
    try:
        value = read_json(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(_said(error)) from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('write an object such as {"delay": 5}')
    return value


def seconds(text: str) -> float:
    if not (number := _number(text)) >= 0:
        raise argparse.ArgumentTypeError(f"use a number of seconds, 0 or more, unlike “{text}”")
    return number


def life(text: str) -> timedelta:
    longest = LONGEST_LIFE.total_seconds()
    if not 1 <= (number := _number(text)) <= longest:
        raise argparse.ArgumentTypeError(
            f"use a number of seconds from 1 to {longest:.0f}, which is 30 days, unlike “{text}”"
        )
    return timedelta(seconds=number)


def _number(text: str) -> float:
    """What is none is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan
