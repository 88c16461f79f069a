"""Devices to try the platform with: they publish as real ones would."""

import argparse
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.mqtt.topics import TopicError
from devices.simulator.device import Faults
from devices.simulator.enrolling import enrol
from devices.simulator.link import Broker
from devices.simulator.simulation import Simulation, uids_of
from devices.simulator.tokens import TokensError, read_tokens


class Command(BaseCommand):
    help = (
        "Simulate devices that publish plausible readings over MQTT 3.1.1 and obey the commands "
        "reboot (delay) and set_interval (seconds)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
        parser.add_argument("--devices", type=positive, default=5, help="how many devices")
        parser.add_argument(
            "--prefix",
            default="dev",
            help="how their ids begin: dev-01, dev-02 and so on. Of two simulations that run at "
            "once, each needs its own",
        )
        parser.add_argument("--tenant", default="t0", help="slug of the tenant they belong to")
        parser.add_argument(
            "--interval", type=seconds, default=2.0, help="seconds between messages of a device"
        )
        parser.add_argument(
            "--count", type=positive, help="messages of each device before the end; else no end"
        )
        add_tokens(parser)
        add_faults(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        uids = uids_of(options["prefix"], options["devices"])
        try:
            simulation = Simulation(
                options["tenant"],
                uids,
                broker(),
                interval=options["interval"],
                faults=Faults(**{field.name: options[field.name] for field in fields(Faults)}),
                tokens=tokens(options, uids),
            )
        except TopicError as error:
            raise CommandError(f"--tenant, --prefix: {error}") from error
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: simulation.stop())
        if missing := simulation.run(options["count"]):
            raise CommandError(f"The broker has not acknowledged {missing} messages.")


def add_tokens(parser: CommandParser) -> None:
    """How devices prove who they are."""
    tokens = parser.add_mutually_exclusive_group()
    tokens.add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        help="CSV or JSON with device_uid and token, as POST /credentials answers: each device "
        "connects with its uid as user name and client id, and its token as password",
    )
    tokens.add_argument(
        "--enrol",
        metavar="KEY",
        help="an enrolment key, which each device shows at --url to be given its token",
    )
    parser.add_argument(
        "--url", type=web_address, default="http://127.0.0.1:8000", help="where devices enrol"
    )


def add_faults(parser: CommandParser) -> None:
    """What devices do wrong, for the fields of `Faults`."""
    for name, meaning in (
        ("duplicates", "is sent twice"),
        ("late", "has a time of an hour ago"),
        ("bad", "cannot be stored"),
    ):
        parser.add_argument(
            f"--{name}",
            type=probability,
            default=0.0,
            help=f"how often a message {meaning}, 0 to 1",
        )
    parser.add_argument(
        "--deaf",
        type=probability,
        nargs="?",
        const=1.0,
        default=0.0,
        help="how often a command is taken and neither obeyed nor answered, 0 to 1; "
        "without a number always",
    )
    parser.add_argument(
        "--slow", type=seconds, default=0.0, help="seconds before a device begins a command"
    )
    parser.add_argument(
        "--answer-twice", action="store_true", help="send every reply to a command twice"
    )


def tokens(options: dict[str, Any], uids: list[str]) -> dict[str, str]:
    """The token of each device, as the options say; without any, of none."""
    try:
        if file := options["credentials"]:
            return read_tokens(file, uids)
        if key := options["enrol"]:
            return enrol(key, options["url"], options["tenant"], uids)
    except TokensError as error:
        raise CommandError(f"--credentials {file}: {error}" if file else str(error)) from error
    return {}


def broker() -> Broker:
    """The broker as configured, at the port for devices."""
    return Broker(
        settings.MQTT_HOST,
        settings.MQTT_PORT,
        settings.MQTT_USERNAME,
        settings.MQTT_PASSWORD,
        settings.MQTT_TLS,
        settings.MQTT_CA,
    )


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def seconds(text: str) -> float:
    if not (number := float(text)) >= 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("must begin with http:// or https://")
    return text


def probability(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return number
