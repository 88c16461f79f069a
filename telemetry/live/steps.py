"""What is read when the database tells that commands took a step."""

from collections.abc import Collection, Iterable, Iterator

from django.db.models import Q

from devices.commands.representation import COMMAND_WHOLE
from devices.models import Command, CommandQuerySet, CommandTransition
from telemetry.live.ring import Event, Kind, Subject, reset

CHANNEL = "command_steps"
EVENT = "command"
# At a time; a command to very many devices is better loaded anew.
MOST = 500

Steps = tuple[int, int]
"""The ids of the first and the last one."""


def together(payloads: Iterable[str]) -> Steps | None:
    """What a number of payloads name, and perhaps some in between. Raises ValueError."""
    ids = [int(number) for payload in payloads for number in payload.split("-")]
    return (min(ids), max(ids)) if ids else None


def events(told: Steps | None, followed: Collection[Subject]) -> Iterator[Event]:
    """One for each command that took one of these steps, as far as somebody follows it."""
    if not told or not followed:
        return
    steps = CommandTransition.objects.filter(id__range=told)
    commands = Command.objects.filter(
        of_subjects(followed),
        number__in=steps.values("command"),
        device__deleted_at__isnull=True,
    )
    rows = commands.annotate(json=COMMAND_WHOLE).order_by("number")
    found = list(rows.values_list("device_id", "tenant_id", "json")[: MOST + 1])
    if len(found) > MOST:
        yield too_many(commands)
        return
    for device_id, tenant_id, json in found:
        yield Event(EVENT, json, subjects_of(device_id, tenant_id), tenant_id)


def of_subjects(followed: Collection[Subject]) -> Q:
    ids: dict[Kind, list[int]] = {kind: [] for kind in Kind}
    for subject in followed:
        ids[subject.kind].append(subject.id)
    if ids[Kind.ALL_COMMANDS]:
        return Q()
    return Q(tenant__in=ids[Kind.COMMANDS_OF_TENANT]) | Q(device__in=ids[Kind.COMMANDS_OF_DEVICE])


def subjects_of(device_id: int, tenant_id: int) -> frozenset[Subject]:
    return frozenset(
        [
            Subject(Kind.COMMANDS_OF_DEVICE, device_id),
            Subject(Kind.COMMANDS_OF_TENANT, tenant_id),
            Subject(Kind.ALL_COMMANDS, 0),
        ]
    )


def too_many(commands: CommandQuerySet) -> Event:
    """For those only whom it concerns: that somebody else is busy is nobody's business."""
    owners = commands.values_list("device_id", "tenant_id").distinct()
    return reset(*frozenset().union(*(subjects_of(*each) for each in owners)))
