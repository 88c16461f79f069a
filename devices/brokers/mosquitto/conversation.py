"""Questions and orders to Mosquitto's dynamic security, over a session that hears its answers."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import orjson

from devices.brokers.mosquitto.accounts import CONTROL, RESPONSE
from devices.brokers.mosquitto.plans import Command
from devices.mqtt.session import Session, Subscription

logger = logging.getLogger(__name__)

# Three of them are less than a lease.
ANSWER_SECONDS = 15.0
# Every message is done as a whole before the broker does anything else.
MESSAGE_BYTES = 16_384
HEARD_AT_ONCE = 100
REFUSED = 0x80

SUBSCRIPTION = Subscription(RESPONSE)

NO_ANSWER = (
    "The broker did not answer. Has it got the plugin mosquitto_dynamic_security, or is it busy?"
)
NOT_ALLOWED = (
    "The broker takes no orders from the account of the dispatcher. Have “manage.py sync_broker "
    "--file” write its file anew; see docs/mosquitto.md."
)


class Unanswered(Exception):
    """Nobody knows whether the broker has done what it was told."""


class Answer(NamedTuple):
    """What became of a command; with an `error`, nothing did."""

    data: Mapping[str, Any]
    error: str = ""


class Conversation:
    """Asks over `session`, which subscribes SUBSCRIPTION, while `run` listens.

    Everybody who asks the broker hears all of its answers, and recognises his own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    async def run(self) -> NoReturn:
        """Pass on what the broker answers."""
        while True:
            messages = await self._session.receive(HEARD_AT_ONCE, MESSAGE_BYTES)
            for message in messages:
                self._hear(message.payload)
            self._session.acknowledge(messages)

    async def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """What the broker answers to each command; they are done one after the other.

        Raises Unanswered, and what `Session.publish` does.
        """
        answers: list[Answer] = []
        for message in packed(commands):
            answers += await self._ask(message)
        return answers

    async def _ask(self, commands: Sequence[Command]) -> list[Answer]:
        marks = [f"{self._name}:{next(self._numbers)}" for _ in commands]
        numbered = [
            {**command, "correlationData": mark}
            for command, mark in zip(commands, marks, strict=True)
        ]
        loop = asyncio.get_running_loop()
        answers = {mark: loop.create_future() for mark in marks}
        self._waiting |= answers
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                code = await self._session.publish(CONTROL, orjson.dumps({"commands": numbered}))
                if code >= REFUSED:
                    raise Unanswered(NOT_ALLOWED)
                return await asyncio.gather(*answers.values())
        except TimeoutError as error:
            raise Unanswered(NO_ANSWER) from error
        finally:
            for mark in marks:
                self._waiting.pop(mark, None)

    def _hear(self, payload: bytes) -> None:
        try:
            for response in orjson.loads(payload)["responses"]:
                self._settle(response.get("correlationData", ""), response)
        except (ValueError, TypeError, KeyError, AttributeError):
            logger.warning("The broker answered on %s what cannot be read.", RESPONSE)

    def _settle(self, mark: str, response: Mapping[str, Any]) -> None:
        waiting = self._waiting.get(mark)
        if waiting and not waiting.done():
            waiting.set_result(Answer(response.get("data", {}), response.get("error", "")))


def packed(commands: Sequence[Command]) -> list[list[Command]]:
    """Commands in messages that are not too large, unless a single one is."""
    messages: list[list[Command]] = []
    room = 0
    for command in commands:
        size = len(orjson.dumps(command))
        if size > room or not messages:
            messages.append([])
            room = MESSAGE_BYTES
        messages[-1].append(command)
        room -= size
    return messages


def faults(commands: Collection[Command], answers: Collection[Answer]) -> list[str]:
    """To people, what the broker did not do."""
    return [
        f"The broker did not do {command['command']}: {answer.error}."
        for command, answer in zip(commands, answers, strict=True)
        if answer.error
    ]
