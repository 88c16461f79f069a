"""`python -m tests.acceptance.sabotage NAME COMMAND…`: manage.py, broken on purpose.

The tests of durability have to fail on these builds; if they pass there, they prove nothing. Two
are as good as the real one: `impatient` gives up after seconds, not to have tests wait, and of
those that work in `small_rounds` none does all the work.
"""

import os
import sys
import uuid
from collections.abc import Iterable
from typing import Any

import django
from django.core.management import execute_from_command_line
from mqtt5 import PubAckPacket

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")
django.setup()

from devices.commands import dispatcher, outbox, statements  # noqa: E402 - needs the setup above
from devices.daemon.writer import Writer  # noqa: E402
from devices.mqtt.session import Received, Session  # noqa: E402
from telemetry import insert  # noqa: E402
from telemetry.ingestor import Ingestor  # noqa: E402

honest_store = Ingestor._store
honest_body = dispatcher.body


async def acknowledge_then_store(self: Ingestor, packets: Any, *rest: Any) -> None:
    self.session.acknowledge(packets)
    await honest_store(self, packets, *rest)


def acknowledge_anywhere(self: Session, messages: Iterable[Received]) -> None:
    """Writes the ids to the connection of the moment, whichever the messages came on."""
    acks = b"".join(PubAckPacket(each.packet_id).write() for each in messages if each.packet_id)
    if self._connection:
        self._connection._write(acks)


def ack_before_commit() -> None:
    Ingestor._store = acknowledge_then_store


def acks_on_new_connection() -> None:
    Session.acknowledge = acknowledge_anywhere


def receipts_ignored() -> None:
    insert.INSERT = """
        WITH stored AS (
            INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
            SELECT device_id, ts, msg_id, received_at, payload FROM incoming
            RETURNING id
        )
        SELECT count(*), min(id), max(id) FROM stored
    """


def impatient() -> None:
    outbox.LEASE_SECONDS = 2
    dispatcher.ANSWER_SECONDS = 1.0
    dispatcher.LOOK_SECONDS = 0.5
    Writer.__init__.__defaults__ = (None, 2.0)


def small_rounds() -> None:
    dispatcher.ROUND_COMMANDS = 3


def claimed_for_good() -> None:
    outbox.LEASE_SECONDS = 3600


def new_id_with_every_attempt() -> None:
    impatient()
    dispatcher.body = lambda claim: honest_body(claim._replace(id=uuid.uuid4()))


def claimed_in_any_order() -> None:
    statements.LOOK = statements.LOOK.replace(
        "ORDER BY number LIMIT 1", "ORDER BY random() LIMIT 1"
    )


BUILDS = {
    build.__name__: build
    for build in (
        ack_before_commit,
        acks_on_new_connection,
        receipts_ignored,
        impatient,
        small_rounds,
        claimed_for_good,
        new_id_with_every_attempt,
        claimed_in_any_order,
    )
}

if __name__ == "__main__":
    name, *command = sys.argv[1:]
    BUILDS[name]()
    execute_from_command_line(["manage.py", *command])
