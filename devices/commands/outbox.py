"""The rows that wait to be published, as dispatchers and presence move them.

A dispatcher claims only the first waiting command of a device, so its commands go out in order
however many dispatchers there are; the claim is committed before anything is published, and runs
out by itself if its dispatcher does not live to tell the outcome. Rows are locked in the order of
their number, so that nobody deadlocks; those that somebody else has in hand are passed over.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from devices.commands.sending import CHANNEL

# Longer than a dispatcher waits for the broker's answer (devices/commands/dispatcher.py).
LEASE_SECONDS = 15
EXPIRE_ROWS = 1_000

# What nobody can say an end of any more: its life is over.
EXPIRE = """
WITH over AS (
    SELECT number FROM devices_command
    WHERE finished_at IS NULL AND expires_at <= statement_timestamp()
    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE devices_command AS command
    SET status = 'expired', finished_at = statement_timestamp(), publish_at = NULL
    FROM over WHERE command.number = over.number
    RETURNING command.number, reason
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'expired', statement_timestamp(), '', reason FROM expired
"""

DUE = """
SELECT number FROM devices_command AS command
WHERE publish_at <= statement_timestamp() AND expires_at > statement_timestamp()
  AND number = (
    SELECT min(number) FROM devices_command AS first
    WHERE first.device_id = command.device_id
      AND first.finished_at IS NULL AND first.publish_at IS NOT NULL
  )
ORDER BY publish_at, number LIMIT %s FOR UPDATE SKIP LOCKED
"""

# A statement of its own, after the locks: whatever a device says of its session from here on waits
# for them, and whatever it said before is seen here. So nobody falls asleep while it comes back.
CLAIM = """
UPDATE devices_command AS command SET
    claimed_at = CASE WHEN is_ready THEN statement_timestamp() ELSE claimed_at END,
    attempts = CASE WHEN is_ready THEN attempts + 1 ELSE attempts END,
    publish_at = CASE
        WHEN is_ready THEN statement_timestamp() + %(lease)s * interval '1 second'
        WHEN NOT is_enabled THEN statement_timestamp() + interval '1 minute'
        -- What wakes it is its device's next session.
        ELSE expires_at
    END,
    reason = CASE
        WHEN is_ready THEN ''
        WHEN NOT is_enabled THEN 'The device is disabled.'
        ELSE 'The device is offline.'
    END
FROM devices_device AS device
JOIN accounts_tenant AS tenant ON tenant.id = device.tenant_id
LEFT JOIN devices_devicestate AS state ON state.device_id = device.id
CROSS JOIN LATERAL (
    SELECT is_enabled AND coalesce(session, 'unknown') <> 'offline' AS is_ready
) AS readiness
WHERE command.number = ANY(%(numbers)s) AND device.id = command.device_id
RETURNING number, command.id, slug, device_uid, cmd, params, expires_at, publish_at, is_ready
"""

# Whatever else happened to it meanwhile: that the broker took it is a fact. Only if nobody asked
# for it once more (a new session) there is nothing left to publish.
TAKEN = """
WITH taken AS (
    SELECT command.number, status AS former, publish_at = lease AS is_ours
    FROM devices_command AS command
    JOIN unnest(%(numbers)s::bigint[], %(leases)s::timestamptz[]) AS outcome (number, lease)
        ON outcome.number = command.number
    ORDER BY command.number FOR UPDATE OF command
), sent AS (
    UPDATE devices_command AS command
    SET sent_at = coalesce(sent_at, statement_timestamp()),
        status = CASE WHEN status = 'queued' THEN 'sent' ELSE status END,
        publish_at = CASE WHEN is_ours THEN NULL ELSE publish_at END,
        reason = CASE WHEN is_ours THEN '' ELSE reason END
    FROM taken WHERE command.number = taken.number
    RETURNING command.number, status, former, is_ours
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'sent', statement_timestamp(), '',
    CASE WHEN former = 'sent' THEN 'Published again: its device began a new session.' ELSE '' END
FROM sent WHERE status = 'sent' AND (former = 'queued' OR is_ours)
"""

# At most a minute between attempts; a new session of the device begins them anew.
NOT_TAKEN = """
WITH failed AS (
    SELECT command.number, outcome.reason, outcome.is_certain
    FROM devices_command AS command
    JOIN unnest(
        %(numbers)s::bigint[], %(leases)s::timestamptz[], %(reasons)s::text[], %(certain)s::bool[]
    ) AS outcome (number, lease, reason, is_certain)
        ON outcome.number = command.number AND outcome.lease = publish_at
    ORDER BY command.number FOR UPDATE OF command
)
UPDATE devices_command AS command
SET claimed_at = CASE WHEN is_certain THEN NULL ELSE claimed_at END,
    publish_at = statement_timestamp() + CASE
        WHEN is_certain THEN least(60, power(2, least(attempts, 6) - 1)) ELSE 0
    END * interval '1 second',
    reason = failed.reason
FROM failed WHERE command.number = failed.number
"""

RESUME = """
WITH waiting AS (
    SELECT number FROM devices_command
    WHERE finished_at IS NULL AND status IN ('queued', 'sent') AND {devices}
    ORDER BY number FOR UPDATE
)
UPDATE devices_command AS command
SET publish_at = statement_timestamp(), attempts = 0, reason = ''
FROM waiting WHERE command.number = waiting.number
"""


class Claim(NamedTuple):
    """A command that is this dispatcher's to publish, until `lease`; `params` as JSON text."""

    number: int
    id: UUID
    tenant: str
    uid: str
    cmd: str
    params: str
    expires_at: datetime
    lease: datetime


class Result(Enum):
    """What the broker made of a command."""

    TAKEN = "it has the command"
    NOT_TAKEN = "for certain it has passed the command on to nobody"
    UNCLEAR = "no answer came: it may have the command or not"


class Outcome(NamedTuple):
    """How publishing `claim` went; `reason` says to people why it did not."""

    claim: Claim
    result: Result
    reason: str = ""


@transaction.atomic
def turn(outcomes: Sequence[Outcome], limit: int) -> list[Claim]:
    """Record `outcomes`, end what has expired, and claim up to `limit` commands.

    One transaction, safe to repeat. No claims do not mean that nothing is due: commands of devices
    that are away are put off, and the next call looks further.
    """
    with connection.cursor() as cursor:
        _record(cursor, outcomes)
        cursor.execute(EXPIRE, [EXPIRE_ROWS])
        return _claim(cursor, limit) if limit else []


def resume(cursor: Any, device_ids: Collection[int]) -> None:
    """Have published again what these devices, in a new session, have not answered."""
    query = RESUME.format(devices="device_id = ANY(%s)")
    cursor.execute(query, [list(device_ids)])
    if cursor.rowcount:
        cursor.execute(f"NOTIFY {CHANNEL}")


def resume_all(cursor: Any) -> None:
    """The same for all devices: the broker has forgotten what it had for them."""
    cursor.execute(RESUME.format(devices="true"))
    if cursor.rowcount:
        cursor.execute(f"NOTIFY {CHANNEL}")


def _record(cursor: Any, outcomes: Sequence[Outcome]) -> None:
    taken = [each for each in outcomes if each.result is Result.TAKEN]
    others = [each for each in outcomes if each.result is not Result.TAKEN]
    if taken:
        cursor.execute(TAKEN, _columns(taken))
    if others:
        more = {
            "reasons": [each.reason for each in others],
            "certain": [each.result is Result.NOT_TAKEN for each in others],
        }
        cursor.execute(NOT_TAKEN, _columns(others) | more)


def _columns(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "numbers": [each.claim.number for each in outcomes],
        "leases": [each.claim.lease for each in outcomes],
    }


def _claim(cursor: Any, limit: int) -> list[Claim]:
    cursor.execute(DUE, [limit])
    numbers = [number for (number,) in cursor.fetchall()]
    if not numbers:
        return []
    cursor.execute(CLAIM, {"numbers": numbers, "lease": LEASE_SECONDS})
    rows = sorted(cursor.fetchall())
    return [Claim(*row[:-1]) for row in rows if row[-1]]
