"""Takes changes from their rows to whoever tells the broker, and back what became of them.

What the broker is to know of a device is read when a change is claimed, so nothing old is told.
"""

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from devices import state
from devices.daemon.services import is_reserved
from devices.models import BrokerChange

# Longer than telling takes: of two that tell at once the slower one could have the last word.
LEASE_SECONDS = 45.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

# Optimization: PostgreSQL believes of changes, of which there are none most of the time, that there
# are none, and would compare each of thousands with each device. It is not left a choice: no table
# is read as a whole, and rows are looked up one by one (OFFSET 0).
BY_INDEX = "SET LOCAL enable_seqscan = off"

# First those that may take something away: a thousand new tokens shall not keep them waiting.
CLAIM = """
UPDATE devices_brokerchange
SET leased_until = statement_timestamp() + %(lease)s * interval '1 second'
WHERE device_uid = ANY(ARRAY(
    SELECT device_uid FROM devices_brokerchange
    WHERE due_at <= statement_timestamp()
      AND (leased_until IS NULL OR leased_until <= statement_timestamp())
    ORDER BY token <> '', due_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING device_uid
"""

# A statement of its own: while the rows are locked nobody can note what this one does not see.
CLAIMED = """
SELECT device_uid, token, version, attempts, leased_until
FROM devices_brokerchange AS change WHERE device_uid = ANY(%(uids)s)
"""

ALL = """
SELECT device_uid, coalesce(token, ''), coalesce(version, 0), coalesce(attempts, 0),
    NULL::timestamptz
FROM devices_device AS device
LEFT JOIN LATERAL (
    SELECT token, version, attempts FROM devices_brokerchange AS change
    WHERE change.device_uid = device.device_uid
    OFFSET 0
) AS change ON true
"""

# A device that has no credential in force, or is off, or erased, is not admitted; `names` are its
# own and those of the enabled devices that it speaks for.
KNOWN = """
WITH asked (device_uid, token, version, attempts, leased_until) AS ({asked})
SELECT asked.device_uid, token, version, attempts, leased_until,
    coalesce(is_enabled, false) AND credential.id IS NOT NULL,
    deleted_at IS NOT NULL OR device.id IS NULL,
    CASE WHEN device.id IS NULL THEN '{{}}'
        ELSE ARRAY[[slug, device.device_uid]]::text[] || coalesce(further.names, '{{}}') END,
    coalesce(credential.digests, '{{}}')
FROM asked
LEFT JOIN LATERAL (
    SELECT device.id, device_uid, slug, is_enabled, deleted_at
    FROM devices_device AS device JOIN accounts_tenant AS tenant ON tenant.id = tenant_id
    WHERE device_uid = asked.device_uid
    OFFSET 0
) AS device ON true
LEFT JOIN LATERAL (
    SELECT max(id) AS id, array_agg(digest) AS digests FROM devices_credential
    WHERE device_id = device.id AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > statement_timestamp())
) AS credential ON true
LEFT JOIN LATERAL (
    SELECT array_agg(ARRAY[slug, other.device_uid]::text[] ORDER BY other.device_uid) AS names
    FROM devices_credential_gateway_for AS link
    CROSS JOIN LATERAL (
        SELECT device_uid FROM devices_device AS each
        WHERE each.id = link.device_id AND is_enabled
        OFFSET 0
    ) AS other
    WHERE link.credential_id = credential.id
) AS further ON true
"""

# In the order in which everybody locks them.
LOCK = """
SELECT 1 FROM devices_brokerchange WHERE device_uid = ANY(%(uids)s) ORDER BY device_uid FOR UPDATE
"""

# What was noted meanwhile stays, and is due at once. A lease that is not ours any more is of
# somebody who tells later, or this is done a second time.
DONE = """
DELETE FROM devices_brokerchange AS change
USING unnest(%(uids)s::text[], %(versions)s::bigint[], %(leases)s::timestamptz[])
    AS told (uid, version, lease)
WHERE change.device_uid = ANY(%(uids)s) AND change.device_uid = told.uid
  AND change.version = told.version AND change.leased_until = told.lease
RETURNING device_uid
"""

AGAIN = """
UPDATE devices_brokerchange AS change
SET leased_until = NULL,
    attempts = CASE WHEN change.version = told.version THEN attempts + 1 ELSE attempts END,
    error = CASE WHEN change.version = told.version AND told.error <> ''
        THEN told.error ELSE change.error END,
    due_at = CASE WHEN change.version = told.version
        THEN statement_timestamp() + told.pause * interval '1 second' ELSE due_at END
FROM unnest(
    %(uids)s::text[], %(versions)s::bigint[], %(leases)s::timestamptz[],
    %(errors)s::text[], %(pauses)s::float[]
) AS told (uid, version, lease, error, pause)
WHERE change.device_uid = ANY(%(uids)s) AND change.device_uid = told.uid
  AND change.leased_until = told.lease
"""

AWAY = """
UPDATE devices_brokerchange AS change SET error = %s
FROM (
    SELECT device_uid FROM devices_brokerchange
    WHERE error = '' AND due_at <= statement_timestamp()
    ORDER BY device_uid FOR UPDATE SKIP LOCKED
) AS waiting
WHERE change.device_uid = waiting.device_uid
"""

# With the end of its time a credential is as good as revoked, of which the broker may not know.
EXPIRE = """
UPDATE devices_credential SET revoked_at = expires_at
WHERE id = ANY(ARRAY(
    SELECT id FROM devices_credential
    WHERE revoked_at IS NULL AND expires_at <= statement_timestamp()
    FOR UPDATE SKIP LOCKED
))
RETURNING device_id
"""

NEXT = """
SELECT extract(epoch FROM min(greatest(due_at, leased_until)) - statement_timestamp())
FROM devices_brokerchange
"""


class Change(NamedTuple):
    """What the broker is to know of a device.

    `names` are the (tenant, uid) that it may speak for, its own first; empty where the device is
    erased. `is_gone`: it never comes back. `token` is a new one, in plain text, `digests` are those
    of its tokens in force. `leased_until` is None if it is not claimed.
    """

    uid: str
    token: str
    version: int
    attempts: int
    leased_until: datetime | None
    is_admitted: bool
    is_gone: bool
    names: list[tuple[str, str]]
    digests: Collection[bytes] = ()


class Told(NamedTuple):
    """What became of a change; with `again`, it is told once more in so many seconds.

    With an `error` it is so too, after a pause that grows.
    """

    change: Change
    error: str = ""
    again: float | None = None


@transaction.atomic
def claim(limit: int) -> list[Change]:
    """Changes that are due, for nobody else to tell before the lease is over."""
    with connection.cursor() as cursor:
        cursor.execute(BY_INDEX)
        cursor.execute(CLAIM, {"limit": limit, "lease": LEASE_SECONDS})
        claimed = [uid for (uid,) in cursor.fetchall()]
        if not claimed:
            return []
        cursor.execute(KNOWN.format(asked=CLAIMED), {"uids": claimed})
        return list(map(_change, cursor.fetchall()))


@transaction.atomic
def everything() -> list[Change]:
    """What the broker is to know of every device, whether or not that has changed.

    Nothing is claimed by it.
    """
    with connection.cursor() as cursor:
        cursor.execute(BY_INDEX)
        cursor.execute(KNOWN.format(asked=ALL))
        return list(map(_change, cursor.fetchall()))


@transaction.atomic
def settle(told: Collection[Told]) -> None:
    """Forget the changes that the broker knows now; the others are due again. Safe to repeat."""
    done = [each for each in told if not each.error and each.again is None]
    with connection.cursor() as cursor:
        cursor.execute(BY_INDEX)
        cursor.execute(LOCK, _columns(told))
        cursor.execute(DONE, _columns(done))
        state.cut_off([uid for (uid,) in cursor.fetchall()])
        more = {"errors": [each.error for each in told], "pauses": [_pause(each) for each in told]}
        cursor.execute(AGAIN, _columns(told) | more)


def wait_for_broker(why: str) -> None:
    """Note of the changes that are due that they wait for the broker, for people to see."""
    with connection.cursor() as cursor:
        cursor.execute(AWAY, [why])


@transaction.atomic
def expire() -> int:
    """Note the devices with a credential whose time is over; returns how many those were."""
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE)
        devices = {device for (device,) in cursor.fetchall()}
    BrokerChange.objects.note(devices)
    return len(devices)


def wait() -> float | None:
    """Seconds until the next change is due, none if there is no other."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT)
        (seconds,) = cursor.fetchone()
    return None if seconds is None else max(0.0, float(seconds))


def _change(row: Sequence[Any]) -> Change:
    *told, names, digests = row
    pairs = [(tenant, uid) for tenant, uid in names]
    change = Change._make((*told, pairs, set(map(bytes, digests))))
    # It may have got its credential before that was a name of ours.
    return change._replace(is_admitted=change.is_admitted and not is_reserved(change.uid))


def _columns(told: Collection[Told]) -> dict[str, Any]:
    return {
        "uids": [each.change.uid for each in told],
        "versions": [each.change.version for each in told],
        "leases": [each.change.leased_until for each in told],
    }


def _pause(told: Told) -> float:
    if told.again is not None:
        return told.again
    return min(LONGEST_PAUSE, FIRST_PAUSE * math.pow(2, min(told.change.attempts, 16)))
