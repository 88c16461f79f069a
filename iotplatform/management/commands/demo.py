"""`make demo`: the whole platform with one command."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from iotplatform.demo import Demo
from iotplatform.embedded import EmbeddedServerError
from iotplatform.ports import PortTakenError
from iotplatform.supervisor import ChildEndedError, StopAskedError


class Command(BaseCommand):
    help = (
        "Run the whole platform on this machine: database, broker, ingestor, web and simulated "
        "devices. What DATABASE_URL and MQTT__HOST name is used, what they do not is embedded."
    )
    # Its children check the configuration, with what the demo adds to it.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo makes accounts with a password that everybody knows. If that is fine for "
                "the database that is configured, set DEBUG=1."
            )
        try:
            Demo(self._write).run()
        except StopAskedError:
            self._write("All stopped.")
        except (ChildEndedError, EmbeddedServerError, PortTakenError) as error:
            raise CommandError(str(error)) from error

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
