"""Watches one command on its way."""

import time
from collections.abc import Iterator

from devices.models import Command, CommandTransition

PAUSE = 0.1


def follow(command: Command, seconds: float) -> Iterator[CommandTransition]:
    """The command's steps as they come, each once, until it has ended or for `seconds`.

    Leaves the command as it was found last.
    """
    end = time.monotonic() + seconds
    seen = 0
    while True:
        is_last_look = time.monotonic() >= end
        # First the command, then its steps: if it has ended, they are all there.
        command.refresh_from_db()
        for step in command.transitions.filter(pk__gt=seen):
            seen = step.pk
            yield step
        if command.finished_at or is_last_look:
            return
        time.sleep(max(0.0, min(PAUSE, end - time.monotonic())))
