"""Brings the broker to what the database says, whatever happened to either."""

import asyncio
import contextlib
import socket
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from devices.brokers import changes
from devices.brokers.carrier import Carrier, Teller
from devices.brokers.emqx import management as emqx
from devices.brokers.mosquitto import book, live
from devices.brokers.mosquitto.comparison import Comparison, Difference, compare
from devices.brokers.mosquitto.conversation import Conversation
from devices.brokers.mosquitto.management import Management
from devices.brokers.mosquitto.plans import FOREIGN, UNKNOWN
from devices.daemon.services import Service, dispatcher, services
from devices.daemon.writer import Writer
from devices.models import BrokerChange, Device
from devices.mqtt.session import Session

PROBE_SECONDS = 2.0
RUNNING = (
    "There is a broker at {host}:{port}; it would overwrite the file. Stop it first (systemctl "
    "stop mosquitto), or correct it while it runs, without --file."
)
LEFT = {
    UNKNOWN: "in need of a new token",
    FOREIGN: "taken by an account that is not ours",
}
NOT_DONE = "not done, for the reason that the console gives under Broker changes"


class InTheWay(Exception):
    """What has to be done by people first."""


class Outcome(NamedTuple):
    """What was done, or would be: word → names; `left` is for people, `others` is left alone."""

    done: dict[str, list[str]]
    left: dict[str, list[str]]
    others: list[str]


def outcome_of(found: Comparison) -> Outcome:
    done = [(word, each.name) for each in found.differences for word in each.done]
    left = [(LEFT[e.plan.error], e.name) for e in found.differences if e.plan.error]
    return Outcome(_by_word(done), _by_word(left), found.others)


def mosquitto_file(path: Path, *, dry_run: bool) -> Outcome:
    """The file of a broker that is stopped; with all tokens that it has not been told yet.

    The changes stay noted until the broker itself says that it knows them.
    """
    if not dry_run:
        _check_stopped()
    pages = book.read(path)
    found = compare(
        pages.state,
        changes.everything(),
        _accounts(),
        lambda service: pages.knows_password(service.username, service.password),
    )
    if not dry_run:
        for difference in found.differences:
            for command in difference.plan.commands:
                pages.do(command)
        book.write(path, pages)
    return outcome_of(found)


def mosquitto_live(*, dry_run: bool) -> Outcome:
    """A broker that runs. Devices are noted and told of as ever, also by a dispatcher at work."""
    writer = Writer()
    try:
        return asyncio.run(_mosquitto_live(writer, dry_run=dry_run))
    finally:
        writer.close()


def emqx_live(*, dry_run: bool) -> Outcome:
    """EMQX asks about who comes; whoever is there and would not be let in is put off."""
    admitted = {change.uid for change in changes.everything() if change.is_admitted}
    wrong = [each for each in emqx.live_clients() if not _may_stay(each, admitted)]
    if not dry_run:
        for client in wrong:
            emqx.kick(client.client_id)
    return Outcome(_by_word(("put off", each.client_id) for each in wrong), {}, [])


def _may_stay(client: emqx.Client, admitted: Collection[str]) -> bool:
    for service in services():
        if client.username == service.username:
            return client.client_id.startswith(service.client_id)
    return client.username in admitted and client.client_id == client.username


async def _mosquitto_live(writer: Writer, *, dry_run: bool) -> Outcome:
    async with live.conversing() as (session, talk):
        found = await _compared(writer, talk)
        outcome = outcome_of(found)
        if not dry_run:
            undone = await _correct(writer, session, talk, found.differences)
            outcome.left.update({NOT_DONE: undone} if undone else {})
    return outcome


async def _compared(writer: Writer, talk: Conversation) -> Comparison:
    # The broker first: who is new in the database meanwhile is not missing there.
    state = await live.read(talk)
    return compare(state, await writer.run(changes.everything), _accounts())


async def _correct(
    writer: Writer, session: Session, talk: Conversation, differences: Sequence[Difference]
) -> list[str]:
    """Returns the devices of which the broker could not be told."""
    devices = {each.name for each in differences if each.is_of_device and each.plan.commands}
    await writer.run(partial(_note, devices))
    tell = Teller(Management(talk).tell, is_ready=lambda: session.connected, knows_no_time=True)
    await Carrier(tell, writer).run(drain=True)
    own = dispatcher().username
    for each in differences:
        if not each.is_of_device and each.name != own:
            await live.do(talk, each.plan.commands)
    # Our own account comes last, since that ends our session, often before the answer.
    with contextlib.suppress(ConnectionError):
        for each in differences:
            if each.name == own:
                await live.do(talk, each.plan.commands)
    return await writer.run(partial(_undone, devices))


def _note(uids: Collection[str]) -> None:
    ids = Device.objects.filter(device_uid__in=uids).values_list("pk", flat=True)
    BrokerChange.objects.note(set(ids))


def _undone(uids: Collection[str]) -> list[str]:
    failed = BrokerChange.objects.filter(device_uid__in=uids).exclude(error__in=["", *LEFT])
    return list(failed.values_list("device_uid", flat=True))


def _accounts() -> list[Service]:
    return [service for service in services() if service.password]


def _check_stopped() -> None:
    address = settings.MQTT_HOST, settings.MQTT_PORT
    try:
        socket.create_connection(address, PROBE_SECONDS).close()
    except OSError:
        return
    raise InTheWay(RUNNING.format(host=address[0], port=address[1]))


def _by_word(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for word, name in pairs:
        words.setdefault(word, []).append(name)
    return words
