"""A dispatcher in a thread of its own, and a session that needs no broker."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from devices.commands.dispatcher import Dispatcher
from devices.daemon.writer import Writer

SILENCE = object()


class Published(NamedTuple):
    uid: str
    topic: str
    payload: bytes
    properties: dict[str, Any]


class FakeSession:
    """Its broker answers for each device, by uid, with a code or an exception, or with SILENCE."""

    def __init__(self, *, connected: bool = True, **answers: Any) -> None:
        self.published: list[Published] = []
        self.connected = connected
        self.answers = {uid.replace("_", "-"): answer for uid, answer in answers.items()}
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        await self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()

    async def wait_until_connected(self) -> None:
        while not self.connected:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def publish(self, topic: str, payload: bytes, **properties: Any) -> Any:
        uid = topic.split("/")[2]
        self.published.append(Published(uid, topic, payload, properties))
        answer = self.answers.get(uid, 0)
        while answer is SILENCE:
            await asyncio.sleep(0.005)
            answer = self.answers.get(uid, 0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def uids(self) -> list[str]:
        """Whom something was published to, in that order."""
        return [each.uid for each in self.published]


class Running:
    """A dispatcher at work."""

    def __init__(self, session: Any, *, with_properties: bool, drain: bool) -> None:
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._work = session, with_properties, drain
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error

    async def _main(self) -> None:
        session, with_properties, drain = self._work
        writer = Writer()
        self.dispatcher = Dispatcher(session, writer, "test", with_properties=with_properties)
        self._loop = asyncio.get_running_loop()
        self._started.set()
        try:
            await self.dispatcher.run(drain=drain)
        finally:
            writer.close()

    def wake(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self.dispatcher.wake)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.dispatcher.stop)

    def join(self) -> None:
        """Wait for its end; raises what it failed with."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error


@contextmanager
def dispatching(
    session: Any, *, with_properties: bool = True, drain: bool = False
) -> Iterator[Running]:
    """A dispatcher is at work inside the block."""
    running = Running(session, with_properties=with_properties, drain=drain)
    try:
        yield running
    finally:
        running.stop()
        running.join()


def drain(session: Any, *, with_properties: bool = True) -> Dispatcher:
    """Has all published that is due; returns the dispatcher that did."""
    running = Running(session, with_properties=with_properties, drain=True)
    running.join()
    return running.dispatcher
