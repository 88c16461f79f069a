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

# Optimization: PostgreSQL keeps its plan for checking foreign keys as long as a connection lives.
# Made while the tables are nearly empty, it reads all of them for each of the next 10,000 rows.
BY_INDEX = "SET LOCAL enable_seqscan = off"

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
RETURNING command_id
"""

# The first of each device. Where that is put off for longer than anybody could have it in hand, the
# others are due as well, to be put off longer: or every look would pass all of them again.
DUE = """
SELECT command.number FROM devices_command AS command
CROSS JOIN LATERAL (
    SELECT number, publish_at FROM devices_command AS waiting
    WHERE waiting.device_id = command.device_id
      AND waiting.finished_at IS NULL AND waiting.publish_at IS NOT NULL
    ORDER BY number LIMIT 1
) AS first
WHERE command.publish_at <= statement_timestamp() AND command.expires_at > statement_timestamp()
  AND (
    first.number = command.number
    OR first.publish_at > statement_timestamp() + %(lease)s * interval '1 second'
  )
ORDER BY command.publish_at, command.number LIMIT %(limit)s
FOR UPDATE OF command SKIP LOCKED
"""

# A statement of its own, after the locks: whatever a device says of its session from here on waits
# for them, and whatever it said before is seen here. So nobody falls asleep while it comes back,
# and nobody overtakes a command that its new session has published again.
CLAIM = """
WITH verdict AS (
    SELECT command.number, slug, device_uid, first.publish_at AS first_at,
        first.reason AS first_reason,
        CASE
            WHEN cancelled_at IS NOT NULL AND command.status = 'queued'
                AND command.claimed_at IS NULL THEN 'cancelled'
            WHEN first.number <> command.number THEN 'behind'
            WHEN NOT is_enabled THEN 'disabled'
            WHEN session = 'offline' THEN 'offline'
            ELSE 'ready'
        END AS verdict
    FROM devices_command AS command
    JOIN devices_device AS device ON device.id = command.device_id
    JOIN accounts_tenant AS tenant ON tenant.id = device.tenant_id
    LEFT JOIN devices_devicestate AS state ON state.device_id = command.device_id
    LEFT JOIN devices_commandbatch AS batch ON batch.id = command.batch_id
    CROSS JOIN LATERAL (
        SELECT number, publish_at, reason FROM devices_command AS waiting
        WHERE waiting.device_id = command.device_id
          AND waiting.finished_at IS NULL AND waiting.publish_at IS NOT NULL
        ORDER BY number LIMIT 1
    ) AS first
    WHERE command.number = ANY(%(numbers)s)
)
UPDATE devices_command AS command SET
    status = CASE verdict WHEN 'cancelled' THEN 'cancelled' ELSE status END,
    finished_at = CASE verdict WHEN 'cancelled' THEN statement_timestamp() ELSE finished_at END,
    claimed_at = CASE verdict
        WHEN 'ready' THEN coalesce(claimed_at, statement_timestamp()) ELSE claimed_at
    END,
    attempts = CASE verdict WHEN 'ready' THEN attempts + 1 ELSE attempts END,
    publish_at = CASE verdict
        WHEN 'ready' THEN statement_timestamp() + %(lease)s * interval '1 second'
        -- What wakes it is the end of the first; at random, not to be all of a fleet at a time.
        WHEN 'behind' THEN CASE
            WHEN first_at <= statement_timestamp() THEN publish_at
            ELSE first_at + (5 + 5 * random()) * interval '1 minute'
        END
        WHEN 'disabled' THEN statement_timestamp() + interval '1 minute'
        WHEN 'cancelled' THEN NULL
        -- What wakes it is its device's next session.
        ELSE expires_at
    END,
    reason = CASE verdict
        WHEN 'ready' THEN ''
        WHEN 'behind' THEN first_reason
        WHEN 'disabled' THEN 'The device is disabled.'
        WHEN 'cancelled' THEN ''
        ELSE 'The device is offline.'
    END
FROM verdict WHERE command.number = verdict.number
RETURNING command.number, id, slug, device_uid, cmd, params, expires_at, publish_at, verdict
"""

# What somebody had in hand when its batch was cancelled, and the broker passed on to nobody.
CALLED_OFF = """
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT unnest(%s::bigint[]), 'cancelled', statement_timestamp(), '', 'Its batch was cancelled.'
"""

# In one order with all who lock commands, so that nobody deadlocks.
LOCK = "SELECT FROM devices_command WHERE number = ANY(%s) ORDER BY number FOR UPDATE"

# Whatever else happened to it meanwhile: that the broker took it is a fact. Only if nobody asked
# for it once more (a new session) there is nothing left to publish.
TAKEN = """
WITH taken AS (
    SELECT command.number, status AS former, publish_at = lease AS is_ours
    FROM devices_command AS command
    JOIN (
        SELECT number, max(lease) AS lease
        FROM unnest(%(numbers)s::bigint[], %(leases)s::timestamptz[]) AS each (number, lease)
        GROUP BY number
    ) AS outcome ON outcome.number = command.number
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

# Not those that somebody may have in hand.
WAKE = """
WITH next AS (
    SELECT number FROM devices_command
    WHERE number IN (
        SELECT (
            SELECT min(number) FROM devices_command AS waiting
            WHERE waiting.device_id = gone.device_id
              AND waiting.finished_at IS NULL AND waiting.publish_at IS NOT NULL
        ) FROM devices_command AS gone WHERE gone.number = ANY(%(numbers)s)
    ) AND publish_at > statement_timestamp() + %(lease)s * interval '1 second'
    FOR UPDATE SKIP LOCKED
)
UPDATE devices_command AS command SET publish_at = statement_timestamp(), reason = ''
FROM next WHERE command.number = next.number
"""

# At most a minute between attempts; a new session of the device begins them anew. A command that
# makes the broker end the connection leaves all that are on their way with it unclear: from the
# third time on they go at random, or it would take the same others with it for ever. It is certain
# that nobody has a command only if that was certain of all attempts before.
NOT_TAKEN = """
WITH failed AS (
    SELECT command.number, outcome.reason, outcome.is_certain
    FROM devices_command AS command
    JOIN unnest(
        %(numbers)s::bigint[], %(leases)s::timestamptz[], %(reasons)s::text[], %(certain)s::bool[]
    ) AS outcome (number, lease, reason, is_certain)
        ON outcome.number = command.number AND outcome.lease = publish_at
)
UPDATE devices_command AS command
SET claimed_at = CASE
        WHEN is_certain AND claimed_at = publish_at - %(lease)s * interval '1 second' THEN NULL
        ELSE claimed_at
    END,
    publish_at = statement_timestamp() + CASE
        WHEN is_certain
            THEN least(60, power(2, least(attempts, 7) - 1)) * (0.75 + 0.25 * random())
        WHEN attempts < 3 THEN 0
        ELSE random() * least(60, power(2, least(attempts, 7) - 1))
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


class Turn(NamedTuple):
    """What came of a turn: with `has_more`, another one at once would find more to do."""

    claims: list[Claim]
    expired: int
    has_more: bool


@transaction.atomic
def turn(outcomes: Sequence[Outcome], limit: int) -> Turn:
    """Record `outcomes`, end what has expired, and claim up to `limit` commands.

    One transaction, safe to repeat. No claims do not mean that nothing is due: commands of devices
    that are away are put off.
    """
    with connection.cursor() as cursor:
        cursor.execute(BY_INDEX)
        taken = _record(cursor, outcomes)
        expired = _expire(cursor)
        wake_next(cursor, [*taken, *expired])
        due = _due(cursor, limit) if limit else []
        claims = _claim(cursor, due) if due else []
    has_more = 0 < limit == len(due) or len(expired) == EXPIRE_ROWS
    return Turn(claims, len(expired), has_more)


def wake_next(cursor: Any, numbers: Sequence[int]) -> None:
    """Have what waits behind these commands looked at now, as they stand in the way no longer."""
    if numbers:
        cursor.execute(WAKE, {"numbers": list(numbers), "lease": LEASE_SECONDS})


def resume(cursor: Any, device_ids: Collection[int], *, tell: bool = True) -> None:
    """Have published again what these devices, in a new session, have not answered.

    Dispatchers are told at once, or find it themselves a little later.
    """
    query = RESUME.format(devices="device_id = ANY(%s)")
    cursor.execute(query, [list(device_ids)])
    if cursor.rowcount and tell:
        cursor.execute(f"NOTIFY {CHANNEL}")


def resume_all(cursor: Any, *, tell: bool = True) -> None:
    """The same for all devices: the broker has forgotten what it had for them."""
    cursor.execute(RESUME.format(devices="true"))
    if cursor.rowcount and tell:
        cursor.execute(f"NOTIFY {CHANNEL}")


def _record(cursor: Any, outcomes: Sequence[Outcome]) -> list[int]:
    """Returns the numbers of those that the broker took."""
    if not outcomes:
        return []
    cursor.execute(LOCK, [[each.claim.number for each in outcomes]])
    taken = [each for each in outcomes if each.result is Result.TAKEN]
    others = [each for each in outcomes if each.result is not Result.TAKEN]
    if taken:
        cursor.execute(TAKEN, _columns(taken))
    if others:
        more = {
            "reasons": [each.reason for each in others],
            "certain": [each.result is Result.NOT_TAKEN for each in others],
            "lease": LEASE_SECONDS,
        }
        cursor.execute(NOT_TAKEN, _columns(others) | more)
    return [each.claim.number for each in taken]


def _expire(cursor: Any) -> list[int]:
    cursor.execute(EXPIRE, [EXPIRE_ROWS])
    return [number for (number,) in cursor.fetchall()]


def _columns(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "numbers": [each.claim.number for each in outcomes],
        "leases": [each.claim.lease for each in outcomes],
    }


def _due(cursor: Any, limit: int) -> list[int]:
    cursor.execute(DUE, {"limit": limit, "lease": LEASE_SECONDS})
    return [number for (number,) in cursor.fetchall()]


def _claim(cursor: Any, numbers: list[int]) -> list[Claim]:
    """Those of `numbers`, which are locked, that are to be published now; others are put off."""
    cursor.execute(CLAIM, {"numbers": numbers, "lease": LEASE_SECONDS})
    verdicts = [(Claim(*row), verdict) for *row, verdict in sorted(cursor.fetchall())]
    called_off = [claim.number for claim, verdict in verdicts if verdict == "cancelled"]
    if called_off:
        cursor.execute(CALLED_OFF, [called_off])
        wake_next(cursor, called_off)
    return [claim for claim, verdict in verdicts if verdict == "ready"]
