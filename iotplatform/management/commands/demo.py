"""`make demo` and `make demo-secure`: the whole platform with one command."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from iotplatform import secured
from iotplatform.demo import Demo, manage
from iotplatform.embedded import EmbeddedServerError
from iotplatform.mosquitto import HOST, Mosquitto, MosquittoMissingError
from iotplatform.ports import PortTakenError
from iotplatform.supervisor import ChildEndedError, StopAskedError

FAULTS = (ChildEndedError, EmbeddedServerError, MosquittoMissingError, PortTakenError)
TEMPLATE = "deploy/mosquitto/mosquitto.conf"


class Command(BaseCommand):
    help = (
        "Run the whole platform on this machine: database, broker, ingestor, web and simulated "
        "devices. What DATABASE_URL and MQTT__HOST name is used, what they do not is embedded."
    )
    # Its children check the configuration, with what the demo adds to it.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--secure",
            action="store_true",
            help="with Debian's Mosquitto, which admits known devices only, each with its token",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo makes accounts with a password that everybody knows. If that is fine for "
                "the database that is configured, set DEBUG=1."
            )
        try:
            Demo(self._write, secure_broker() if options["secure"] else None).run()
        except StopAskedError:
            self._write("All stopped.")
        except FAULTS as error:
            raise CommandError(str(error)) from error

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def secure_broker() -> Mosquitto:
    """The broker that admits known devices only; starts us anew if our settings are not for it."""
    if not settings.MQTT_EMBEDDED and settings.MQTT_HOST != HOST:
        raise CommandError(
            "The secure demo brings a Mosquitto of its own. Leave MQTT__HOST out, or have your own "
            "broker ask who devices are: docs/access.md says how."
        )
    broker = Mosquitto(
        settings.LOCAL_DIR / "mosquitto", settings.MQTT_PORT, settings.BASE_DIR / TEMPLATE
    )
    environment = os.environ | secured.environment(settings.LOCAL_DIR)
    if environment != os.environ:
        os.execve(sys.executable, manage("demo", "--secure"), environment)
    return broker
