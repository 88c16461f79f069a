"""Tells Mosquitto of changes, over the session of the dispatcher."""

import time
from collections.abc import Iterator, Mapping, Sequence

from devices.brokers.changes import Change, Told
from devices.brokers.mosquitto import plans
from devices.brokers.mosquitto.accounts import Acls, account_from, acls_from, role_of_device
from devices.brokers.mosquitto.conversation import Answer, Conversation, Unanswered, faults
from devices.brokers.mosquitto.plans import Command, Plan

# With what one device can take then, less than a lease, after which somebody else tells it.
ROUND_SECONDS = 10.0
LOST_SECONDS = 1.0
# Until a person has done something about it, which tells of the device anew.
MENDED_SECONDS = 600.0
NOT_FOUND = ("Client not found", "Role not found")


class Management:
    """Brings the broker to what changes say, whatever it knows of the devices so far."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    async def tell(self, changes: Sequence[Change]) -> list[Told]:
        """One device at a time, between which the broker serves others."""
        told: list[Told] = []
        until = time.monotonic() + ROUND_SECONDS
        try:
            for change, plan in zip(changes, await self._plans(changes), strict=True):
                late = time.monotonic() > until
                told.append(Told(change, again=0.0) if late else await self._told(change, plan))
        except (Unanswered, ConnectionError) as error:
            told += [_untold(change, error) for change in changes[len(told) :]]
        return told

    async def _plans(self, changes: Sequence[Change]) -> list[Plan]:
        questions = [question for change in changes for question in _questions(change.uid)]
        answers = iter(await self._conversation.ask(questions))
        return [_plan(change, answers) for change in changes]

    async def _told(self, change: Change, plan: Plan) -> Told:
        try:
            errors = await self._done(plan.first) or await self._done(plan.last)
        except ValueError as error:
            # More rights than the broker takes in one message.
            errors = [str(error)]
        if errors:
            # Better out than with what it may not do any more.
            await self._conversation.ask([{"command": "disableClient", "username": change.uid}])
            return Told(change, errors[0])
        return Told(change, plan.error, MENDED_SECONDS if plan.error else None)

    async def _done(self, commands: Sequence[Command]) -> list[str]:
        """Why they are not, to people; in one message, so that nobody connects in between."""
        return faults(commands, await self._conversation.ask(commands)) if commands else []


def _questions(uid: str) -> tuple[Command, Command]:
    return (
        {"command": "getClient", "username": uid},
        {"command": "getRole", "rolename": role_of_device(uid)},
    )


def _plan(change: Change, answers: Iterator[Answer]) -> Plan:
    client, role = _found(next(answers), "client"), _found(next(answers), "role")
    account = account_from(client) if client else None
    acls: Acls | None = acls_from(role) if role else None
    return plans.of_device(change, account, acls)


def _found(answer: Answer, what: str) -> Mapping[str, object] | None:
    if answer.error and answer.error not in NOT_FOUND:
        raise Unanswered(f"The broker did not say what it knows: {answer.error}.")
    found: Mapping[str, object] | None = answer.data.get(what)
    return found


def _untold(change: Change, error: Unanswered | ConnectionError) -> Told:
    """What became of it is not known, so it is told again; a lost connection is nobody's error."""
    if isinstance(error, ConnectionError):
        return Told(change, again=LOST_SECONDS)
    return Told(change, str(error))
