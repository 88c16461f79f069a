"""How the platform's processes end: in order when asked, at once when asked again."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

logger = logging.getLogger(__name__)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT stop in order; a second one at once."""
    loop = asyncio.get_running_loop()

    def handle(number: signal.Signals) -> None:
        logger.info("%s: finishing the batch in hand.", number.name)
        loop.add_signal_handler(number, os._exit, 1)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
