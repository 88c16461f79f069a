"""The process that brings commands to the broker."""

import asyncio
import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices.alerts.alarm import Alarm
from devices.brokers.carrier import Carrier, subscriptions, teller
from devices.commands.dispatcher import Dispatcher, NotConnected
from devices.daemon import services
from devices.daemon.broker import session_options
from devices.daemon.lifecycle import stop_on_signals
from devices.daemon.listener import CannotListen, listening
from devices.daemon.metrics import of_connections
from devices.daemon.writer import Writer
from devices.mqtt.session import Session, SessionTakenOver, SubscriptionRefused

NOT_LET = (
    "{} There Mosquitto answers who manages its accounts: have “manage.py sync_broker --file” "
    "write its file anew; see docs/mosquitto.md."
)


class Command(BaseCommand):
    help = (
        "Publish queued commands to their devices, tell the broker of devices that may connect no "
        "more, or newly, and people of devices that are silent; several dispatchers may run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--drain", action="store_true", help="publish all that is due, then exit"
        )

    def handle(self, *args: Any, drain: bool, **options: Any) -> None:
        try:
            asyncio.run(dispatch(drain=drain))
        except* (SessionTakenOver, NotConnected, CannotListen) as errors:
            raise CommandError(str(errors.exceptions[0])) from errors
        except* SubscriptionRefused as errors:
            raise CommandError(NOT_LET.format(errors.exceptions[0])) from errors


async def dispatch(*, drain: bool) -> None:
    """Put the dispatcher together as configured and run it to its end."""
    writers = [Writer(), Writer(), Writer(), Writer()]
    service = services.dispatcher()
    client_id = f"{service.client_id}-{secrets.token_hex(4)}"
    session = Session(
        **session_options(service),
        subscriptions=subscriptions(),
        # There is nothing that the broker had to keep for a next time.
        client_id=client_id,
        session_expiry=0,
    )
    tell = teller(session)
    dispatcher = Dispatcher(
        session,
        writers[0],
        client_id,
        with_properties=not settings.MQTT_EMBEDDED,
        carrier=Carrier(tell, writers[1]) if tell else None,
        alarm=Alarm(writers[2], writers[3]),
    )
    stop_on_signals(dispatcher.stop)
    try:
        # Who drains may do so beside one that has the port.
        with listening(0 if drain else settings.METRICS_PORT) as listener:
            listener.trouble = dispatcher.trouble
            listener.tell(dispatcher.figures)
            listener.tell(lambda: of_connections(session, writers))
            await dispatcher.run(drain=drain)
    finally:
        for writer in writers:
            writer.close()
