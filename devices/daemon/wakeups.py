"""Hears of new work from the database; what it misses is found by looking now and then."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import psycopg
from django.db import connection

from devices.daemon.writer import pauses

logger = logging.getLogger(__name__)

# A server that vanished tells nothing; so it is asked for a sign of life in quiet times.
QUIET_SECONDS = 30.0
ANSWER_SECONDS = 10.0


async def listen(channel: str, wake: Callable[[], None]) -> NoReturn:
    """Call `wake` whenever there may be something new; connects anew for ever."""
    waits = pauses()
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**_parameters()) as listener:
                await listener.execute(f"LISTEN {channel}")
                waits = pauses()
                await _pass_on(listener, wake)
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("Not told of new work now, only looking: %s", error)
        await asyncio.sleep(next(waits))


async def _pass_on(listener: psycopg.AsyncConnection[Any], wake: Callable[[], None]) -> NoReturn:
    while True:
        # First for what came before we listened.
        wake()
        told = [each async for each in listener.notifies(timeout=QUIET_SECONDS, stop_after=1)]
        if not told:
            async with asyncio.timeout(ANSWER_SECONDS):
                await listener.execute("SELECT 1")


def _parameters() -> dict[str, Any]:
    """How Django connects, but for its cursors, which are none for coroutines."""
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory")
    return {**parameters, "autocommit": True}
