"""A running Mosquitto: what it knows, and its correction."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from devices.brokers.mosquitto.accounts import account_from, acls_from
from devices.brokers.mosquitto.comparison import State
from devices.brokers.mosquitto.conversation import SUBSCRIPTION, Conversation, Unanswered, faults
from devices.brokers.mosquitto.plans import Command
from devices.daemon.broker import session_options
from devices.daemon.services import dispatcher
from devices.mqtt.session import Session

PAGE = 200
CONNECT_SECONDS = 30.0
NOT_REACHED = (
    "The broker was not reached in {seconds:.0f} s; see the lines above. Is it running, and does "
    "it know the dispatcher's password? If not, stop it and use --file; see docs/mosquitto.md."
)


@asynccontextmanager
async def conversing() -> AsyncIterator[tuple[Session, Conversation]]:
    """With the broker, in the name of the dispatcher."""
    service = dispatcher()
    session = Session(
        **session_options(service),
        client_id=f"{service.client_id}-sync-{secrets.token_hex(4)}",
        session_expiry=0,
        subscriptions=[SUBSCRIPTION],
    )
    talk = Conversation(session)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session.run())
        listening = group.create_task(talk.run())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await session.wait_until_connected()
        except TimeoutError as error:
            raise Unanswered(NOT_REACHED.format(seconds=CONNECT_SECONDS)) from error
        yield session, talk
        listening.cancel()
        session.stop()
        await running


async def read(talk: Conversation) -> State:
    """All that the broker knows; what is changed meanwhile may be missing."""
    clients = await _listed(talk, "listClients", "clients")
    roles = await _listed(talk, "listRoles", "roles")
    (defaults,) = await _asked(talk, [{"command": "getDefaultACLAccess"}])
    return State(
        {each["username"]: account_from(each) for each in clients},
        {each["rolename"]: acls_from(each) for each in roles},
        {each["acltype"]: each["allow"] for each in defaults["acls"]},
    )


async def do(talk: Conversation, commands: Sequence[Command]) -> None:
    await _asked(talk, commands)


async def _listed(talk: Conversation, command: str, what: str) -> list[Any]:
    """Page by page, between which the broker serves others."""
    found: list[Any] = []
    while True:
        page = {"command": command, "verbose": True, "count": PAGE, "offset": len(found)}
        (data,) = await _asked(talk, [page])
        found += data[what]
        if len(data[what]) < PAGE:
            return found


async def _asked(talk: Conversation, commands: Sequence[Command]) -> list[Any]:
    answers = await talk.ask(commands)
    if errors := faults(commands, answers):
        raise Unanswered(errors[0])
    return [answer.data for answer in answers]
