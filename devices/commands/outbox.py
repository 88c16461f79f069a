"""What waits to be published, as dispatchers and presence move it.

A device's commands go out one at a time, in the order in which they were accepted, however many
dispatchers there are: its row of `DeviceQueue` is locked by whoever changes what waits for it, and
leased by the dispatcher that has one of its commands in hand. A lease is committed before anything
is published, and runs out by itself if its holder does not live to tell the outcome.

Nobody deadlocks: rows are locked in the order states, queues, commands, and by their keys; claims
never wait for a lock.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.commands import statements

CHANNEL = "commands"
"""Who listens here is told that there is something to publish."""

# Longer than a dispatcher waits for the broker's answer (devices/commands/dispatcher.py).
LEASE_SECONDS = 15
EXPIRE_ROWS = 1_000

REASONS = {
    "disabled": sentence(_("The device is disabled.")),
    "offline": sentence(_("The device is offline.")),
}


class Claim(NamedTuple):
    """A command that is this dispatcher's to publish, until `lease`; `params` as JSON text.

    Its life ended `left` seconds after the moment of the claim.
    """

    device_id: int
    number: int
    id: UUID
    cmd: str
    params: str
    left: float
    claimed_at: datetime
    tenant: str
    uid: str
    lease: datetime


class Look(NamedTuple):
    """What was seen of a device: the number of its first command, and whether it can have it."""

    device_id: int
    tenant: str
    uid: str
    number: int | None
    verdict: str


class Result(StrEnum):
    """What the broker made of a command."""

    TAKEN = "taken"
    NOT_TAKEN = "not taken"  # for certain it has passed the command on to nobody
    UNCLEAR = "unclear"  # it may have the command or not
    IMPOSSIBLE = "impossible"  # no attempt will ever do


class Outcome(NamedTuple):
    """How publishing `claim` went; `reason` says to people why it did not.

    `at` is when that was known, by the monotonic clock of this process.
    """

    claim: Claim
    result: Result
    reason: str = ""
    at: float | None = None


class Turn(NamedTuple):
    """What came of a turn.

    With `has_more`, another one at once would find more to do. Where nothing was claimed, something
    is put off for `wait` seconds, if anything is.
    """

    claims: list[Claim]
    expired: int
    has_more: bool
    wait: float | None


@transaction.atomic
def turn(outcomes: Sequence[Outcome], limit: int) -> Turn:
    """Record `outcomes`, end what has expired, and claim a command of up to `limit` devices.

    One transaction, safe to repeat. No claims do not mean that nothing is due: devices that are
    away are put off.
    """
    with connection.cursor() as cursor:
        cursor.execute(statements.BY_INDEX)
        _record(cursor, outcomes)
        expired = _expire(cursor)
        due = _due(cursor, limit) if limit else []
        claims = _claim(cursor, due) if due else []
        wait = None if claims else _wait(cursor)
    has_more = 0 < limit == len(due) or expired == EXPIRE_ROWS
    return Turn(claims, expired, has_more, wait)


@transaction.atomic
def expire() -> int:
    """End commands whose life is over, as a turn does; returns how many, 0 once there is none.

    For as long as no dispatcher does that. Of two who do, each has others.
    """
    with connection.cursor() as cursor:
        cursor.execute(statements.BY_INDEX)
        return _expire(cursor)


def add(cursor: Any, device_ids: Collection[int]) -> None:
    """Have dispatchers look at these devices, inside a transaction that queues commands for them.

    One sender at a time: of a device's commands, the order of numbers is that of commits.
    """
    cursor.execute(statements.ADD, [list(device_ids)])


def resume(cursor: Any, device_ids: Collection[int], *, tell: bool = True) -> None:
    """Have published again what these devices, in a new session, have not answered.

    Dispatchers are told at once, or find it themselves a little later.
    """
    cursor.execute(statements.RESUME, [list(device_ids)])
    if tell:
        notify(cursor)


def resume_all(cursor: Any, *, tell: bool = True) -> None:
    """The same for all devices: the broker has forgotten what it had for them."""
    cursor.execute(statements.RESUME_ALL)
    if tell:
        notify(cursor)


def notify(cursor: Any) -> None:
    """Wake the dispatchers once this transaction commits."""
    cursor.execute(f"NOTIFY {CHANNEL}")


def _record(cursor: Any, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    cursor.execute(statements.LOCK_QUEUES, [[each.claim.device_id for each in outcomes]])
    cursor.execute(statements.LOCK, [[each.claim.number for each in outcomes]])
    by_result = {result: [each for each in outcomes if each.result is result] for result in Result}
    if taken := by_result[Result.TAKEN]:
        cursor.execute(statements.TAKEN, _columns(taken))
    if returned := by_result[Result.NOT_TAKEN] + by_result[Result.UNCLEAR]:
        cursor.execute(statements.NOT_TAKEN, _columns(returned))
        cursor.execute(statements.CALL_OFF, _columns(returned))
    if impossible := by_result[Result.IMPOSSIBLE]:
        cursor.execute(statements.FAIL, _columns(impossible))
    cursor.execute(statements.RELEASE, _columns(outcomes))


def _columns(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Outcomes as arrays. Of several of one command, the last claim is the one that counts."""
    by_number = {each.claim.number: each for each in sorted(outcomes, key=_claimed_at)}
    latest = [by_number[number] for number in sorted(by_number)]
    now = time.monotonic()
    return {
        "numbers": [each.claim.number for each in latest],
        "devices": [each.claim.device_id for each in latest],
        "times": [each.claim.claimed_at for each in latest],
        "leases": [each.claim.lease for each in latest],
        "ages": [now - (each.at or now) for each in latest],
        "results": [each.result.value for each in latest],
        "reasons": [each.reason for each in latest],
        "certain": [each.result is Result.NOT_TAKEN for each in latest],
    }


def _claimed_at(outcome: Outcome) -> datetime:
    return outcome.claim.claimed_at


def _expire(cursor: Any) -> int:
    cursor.execute(statements.EXPIRE, [EXPIRE_ROWS])
    return int(cursor.rowcount)


def _due(cursor: Any, limit: int) -> list[int]:
    cursor.execute(statements.DUE, [limit])
    return [device_id for (device_id,) in cursor.fetchall()]


def _wait(cursor: Any) -> float | None:
    cursor.execute(statements.NEXT)
    found = cursor.fetchone()
    return found[0] if found else None


def _claim(cursor: Any, device_ids: list[int]) -> list[Claim]:
    """The first command of each device, whose queue is locked; those that are away are put off."""
    cursor.execute(statements.LOOK, [device_ids])
    looks = [Look(*row) for row in cursor.fetchall()]
    cursor.execute(statements.CLAIM, [[look.number for look in looks if look.verdict == "ready"]])
    claimed = {row[0]: row for row in cursor.fetchall()}
    verdicts = {look.device_id: _verdict(look, claimed) for look in looks}
    _explain(cursor, verdicts)
    parameters = {"devices": [*verdicts], "verdicts": [*verdicts.values()], "lease": LEASE_SECONDS}
    cursor.execute(statements.LOOKED, parameters)
    leases = dict(cursor.fetchall())
    return [
        Claim._make([*claimed[look.device_id], look.tenant, look.uid, leases[look.device_id]])
        for look in looks
        if look.device_id in claimed
    ]


def _verdict(look: Look, claimed: Collection[int]) -> str:
    is_busy = look.verdict == "ready" and look.device_id not in claimed
    return "busy" if is_busy else look.verdict


def _explain(cursor: Any, verdicts: dict[int, str]) -> None:
    """Say at the commands why they wait."""
    reasons = {device: REASONS[why] for device, why in verdicts.items() if why in REASONS}
    if reasons:
        cursor.execute(statements.SAY_WHY, {"devices": [*reasons], "reasons": [*reasons.values()]})
