"""The process that brings what devices say into the database."""

import asyncio
import gc
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices.daemon import services
from devices.daemon.broker import session_options
from devices.daemon.lifecycle import stop_on_signals
from devices.daemon.listener import CannotListen, Listener, listening
from devices.daemon.metrics import of_connections
from devices.daemon.writer import NameLost, Writer
from devices.mqtt import topics
from devices.mqtt.session import Session, SessionTakenOver, Subscription, SubscriptionRefused
from telemetry.ingestor import RECEIVE_MAXIMUM, Ingestor, NotConnected
from telemetry.models import BrokerSession

# A batch makes tens of thousands of objects and no cycles: looking for those every 700 objects, as
# usual, costs a third of the time.
COLLECT_OBJECTS = 100_000


ENDS = (SessionTakenOver, SubscriptionRefused, NotConnected, NameLost, CannotListen)


class Command(BaseCommand):
    help = "Store what devices publish in PostgreSQL, exactly once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--drain",
            action="store_true",
            help="store what is queued, then exit after two seconds of silence",
        )

    def handle(self, *args: Any, drain: bool, **options: Any) -> None:
        gc.set_threshold(COLLECT_OBJECTS)
        try:
            asyncio.run(ingest(drain=drain))
        except* ENDS as errors:
            raise CommandError(str(errors.exceptions[0])) from errors


async def ingest(*, drain: bool) -> None:
    """Run the ingestor that is configured to its end; others are told from the beginning on."""
    client_id = services.ingestor().client_id
    # The first holds the client id; the second only helps with a backlog.
    writers = [Writer(client_id), Writer()]
    try:
        # Who drains may do so beside one that has the port.
        with listening(0 if drain else settings.METRICS_PORT) as listener:
            await work(client_id, writers, listener, drain=drain)
    finally:
        for writer in writers:
            writer.close()


async def work(
    client_id: str, writers: Sequence[Writer], listener: Listener, *, drain: bool
) -> None:
    """Put the ingestor together and run it."""
    wanted = subscriptions()
    former = await writers[0].run(
        partial(BrokerSession.remember, client_id, [each.filter for each in wanted])
    )
    ingestor: Ingestor
    session = Session(
        **session_options(services.ingestor()),
        client_id=client_id,
        subscriptions=wanted,
        unsubscribe=former,
        receive_maximum=RECEIVE_MAXIMUM,
        on_connect=lambda present: ingestor.connected(present),
    )
    ingestor = Ingestor(session, writers, client_id)
    listener.trouble = ingestor.trouble
    listener.tell(ingestor.figures)
    listener.tell(lambda: of_connections(session, writers))
    stop_on_signals(ingestor.stop)
    await ingestor.run(drain=drain)


def subscriptions() -> list[Subscription]:
    """The filters of the platform: telemetry as configured, replies and status beside it."""
    replies, status = (
        topics.filter_for(settings.MQTT_TOPIC, kind) for kind in ("replies", "status")
    )
    return [
        # A retained reading or reply is an old one; a retained status is what holds now.
        Subscription(settings.MQTT_TOPIC, retain_handling=2),
        Subscription(replies, retain_handling=2),
        Subscription(status, retain_handling=1),
    ]
