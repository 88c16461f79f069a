"""`python -m tests.acceptance.sabotage NAME COMMAND…`: manage.py, broken on purpose.

The tests of durability have to fail on these builds; if they pass there, they prove nothing.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

import django
from django.core.management import execute_from_command_line
from mqtt5 import PubAckPacket

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotplatform.settings")
django.setup()

from devices.mqtt.session import Received, Session  # noqa: E402 - needs the setup above
from telemetry import insert  # noqa: E402
from telemetry.ingestor import Ingestor  # noqa: E402

honest_store = Ingestor._store


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
        INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload)
        SELECT device_id, ts, msg_id, received_at, payload FROM incoming
    """


BUILDS = {
    build.__name__: build for build in (ack_before_commit, acks_on_new_connection, receipts_ignored)
}

if __name__ == "__main__":
    name, *command = sys.argv[1:]
    BUILDS[name]()
    execute_from_command_line(["manage.py", *command])
