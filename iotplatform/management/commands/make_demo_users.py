"""The accounts of the demo for containers, where every part of it is a service of its own."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from iotplatform.demo import ADMIN, COLLEAGUES, PASSWORD, make_users


class Command(BaseCommand):
    help = f"Make the accounts of the demo, password “{PASSWORD}”, unless they exist. Needs DEBUG."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "Everybody knows the password of these accounts. If that is fine for the database "
                "that is configured, set DEBUG=1; else use “manage.py createsuperuser”."
            )
        make_users()
        self.stdout.write(f"{', '.join([ADMIN, *COLLEAGUES])}: password “{PASSWORD}”.")
