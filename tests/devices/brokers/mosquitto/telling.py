"""Tells a real Mosquitto what is due, within the transaction of a test, and looks what holds."""

import asyncio
from collections.abc import Callable
from typing import Any

from django.db import connections

from devices.brokers import changes
from devices.brokers.changes import Told
from devices.brokers.mosquitto import live
from devices.brokers.mosquitto.comparison import State
from devices.brokers.mosquitto.conversation import Conversation
from devices.brokers.mosquitto.management import Management
from tests.servers import Mosquitto
from tests.wire import V5, Wire


class Inline:
    """Does the work of a `Writer` where it is asked, in the transaction of the test.

    Made outside of an event loop, within which Django would open another connection.
    """

    def __init__(self) -> None:
        self._ours = connections["default"]

    async def run(self, work: Callable[[], Any]) -> Any:
        connections["default"] = self._ours
        return work()

    def close(self) -> None:
        """There is no thread."""


def tell() -> list[Told]:
    """Claims what is due, tells the broker and settles."""
    claimed = changes.claim(100)
    told: list[Told] = asked(lambda talk: Management(talk).tell(claimed))
    changes.settle(told)
    return told


def said(*commands: dict[str, Any]) -> None:
    """Has the broker do something by hand."""
    asked(lambda talk: live.do(talk, commands))


def state() -> State:
    found: State = asked(live.read)
    return found


def asked(question: Callable[[Conversation], Any]) -> Any:
    """What comes of a conversation with the broker that the settings lead to."""

    async def main() -> Any:
        async with live.conversing() as (_, talk):
            return await question(talk)

    return asyncio.run(main())


class Client(Wire):
    """A device at the broker's door, in a session that stays when it is gone."""

    def __init__(self, broker: Mosquitto, uid: str, token: str, client_id: str | None = None):
        super().__init__(broker.port, V5)
        self.code = self.connect(client_id or uid, uid, token, clean=False)

    @property
    def is_in(self) -> bool:
        return self.code == 0

    @property
    def is_put_off(self) -> bool:
        """Whether the broker has ended the connection."""
        return self.publish("x/y/z/nowhere", b"") is None


def is_let_in(broker: Mosquitto, uid: str, token: str, client_id: str | None = None) -> bool:
    with Client(broker, uid, token, client_id) as client:
        return client.is_in
