"""How a simulated device obeys: each command once, however often it comes."""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

REMEMBERED = 1_000

Handler = Callable[[str, dict[str, Any]], None]
"""Carries out a command, given its id and its params, and replies; raises CannotObey."""


class CannotObey(Exception):
    """A command that the device will not carry out; the message says to people why."""


class Command(NamedTuple):
    """A command as it came."""

    id: str
    cmd: Any
    params: Any


class Obedience:
    """Carries out commands by `handlers`, and remembers what it replied to the last thousand.

    A command that comes again is answered again with the last reply, and not carried out again.
    """

    def __init__(
        self, uid: str, handlers: Mapping[str, Handler], publish: Callable[[bytes], None]
    ) -> None:
        self._uid = uid
        self._handlers = handlers
        self._publish = publish
        self._replies: OrderedDict[str, bytes] = OrderedDict()

    def take(self, body: bytes) -> None:
        try:
            command = read(body)
        except ValueError as error:
            logger.warning("%s: dropped a command that nobody can answer: %s", self._uid, error)
            return
        if command.id in self._replies:
            logger.info("%s: %s comes again and is answered again.", self._uid, command.id)
            self._publish(self._replies[command.id])
            return
        try:
            self._carry_out(command)
        except CannotObey as error:
            self.reply(command.id, "error", error=str(error))

    def _carry_out(self, command: Command) -> None:
        if not isinstance(command.cmd, str) or command.cmd not in self._handlers:
            known = " and ".join(self._handlers)
            raise CannotObey(f"Unknown command {command.cmd!r}. This device knows {known}.")
        if not isinstance(command.params, dict):
            raise CannotObey("params must be an object.")
        logger.info("%s: %s %s", self._uid, command.cmd, command.params)
        self._handlers[command.cmd](command.id, command.params)

    def reply(self, command_id: str, status: str, **more: Any) -> None:
        body = json.dumps({"id": command_id, "status": status, **more}).encode()
        logger.info("%s: replies %s.", self._uid, status)
        self._replies[command_id] = body
        if len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        self._publish(body)


def read(body: bytes) -> Command:
    """Raises ValueError for what has no id that a reply could name."""
    try:
        command = json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply.") from error
    if not isinstance(command, dict) or not isinstance(command.get("id"), str):
        raise ValueError("it is no object with an id.")
    return Command(command["id"], command.get("cmd"), command.get("params", {}))


def number(params: dict[str, Any], name: str, least: float, most: float) -> float:
    """The number `name` of the params; raises CannotObey unless it is one from least to most."""
    value: Any = params.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise CannotObey(f"{name} must be a number from {least:g} to {most:g}.")
    return float(value)
