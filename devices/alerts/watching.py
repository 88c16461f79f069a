"""Finds the devices that are silent or offline for longer than a rule allows, and those that are
back, rule by rule: what one costs holds up no other.

A look at a rule is one transaction, which raises alerts, clears others, and adds what is to be told
of that.
"""

import logging
from datetime import datetime
from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q

from devices.daemon.faults import Fault, fault_of
from devices.models import Alert, AlertNoticeKind, AlertRule

logger = logging.getLogger(__name__)

DEAF_SECONDS = 40
"""An ingestor that was not heard of for this long is not there; nor is a watch. It is less than the
shortest rule allows, and more than a few beats, or two looks of the watch, take."""
STALLED_SECONDS = 60
"""An ingestor of which the work waits for this long does not hear what devices say now."""
MOST = 10_000
"""So many alerts are raised, or cleared, by one look at a rule; the rest by the next ones."""
RULE_TIMEOUT = "SET LOCAL statement_timeout = '5s'"
SHOWN = 50
"""So many devices are named in one notice; of the others it has the number."""

# Whoever changes the rule waits for a look at it, and a second dispatcher leaves it out.
HOLD = "SELECT id FROM devices_alertrule WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED"

# An ingestor that has no connection to the broker hears nobody either. After a break that was as
# long, time counts from its end: nobody knows what devices sent meanwhile. Until when all is known
# that was sent is what the last one of several has taken in; if one is stuck, nobody knows.
LISTEN = """
WITH ingestor AS (
    SELECT max(beat_at) AS last,
        min(least(started_at, statement_timestamp())) FILTER (WHERE is_there) AS since,
        min(least(beat_at, waiting_since)) FILTER (WHERE is_there) AS known
    FROM devices_heartbeat
    CROSS JOIN LATERAL (SELECT
        beat_at > statement_timestamp() - %(deaf)s * interval '1 second'
            AND detail -> 'connected' IS DISTINCT FROM 'false'::jsonb AS is_there
    ) AS found
    WHERE kind = 'ingestor'
)
INSERT INTO devices_alertwatch AS watch (id, checked_at, listening_since, deaf_since)
SELECT 1, statement_timestamp(), coalesce(since, statement_timestamp()),
    CASE WHEN since IS NULL OR known < statement_timestamp() - %(stalled)s * interval '1 second'
        THEN coalesce(known, last, statement_timestamp()) END
FROM ingestor
ON CONFLICT (id) DO UPDATE
SET checked_at = statement_timestamp(),
    listening_since = CASE
        WHEN excluded.deaf_since IS NOT NULL
            OR least(watch.deaf_since, watch.checked_at)
                > statement_timestamp() - %(deaf)s * interval '1 second'
            THEN watch.listening_since
        ELSE statement_timestamp()
    END,
    deaf_since = CASE
        WHEN excluded.deaf_since IS NOT NULL
            THEN coalesce(watch.deaf_since, excluded.deaf_since)
    END
RETURNING listening_since, deaf_since, (SELECT known FROM ingestor)
"""

# The alerts of one moment become one notice for each address of their rule.
TELL = """
told AS (
    SELECT rule_id, jsonb_build_object(
        'count', count(*),
        'offline', count(*) FILTER (WHERE changed.condition = 'offline'),
        'silent', count(*) FILTER (WHERE changed.condition = 'silent'),
        'devices', jsonb_agg(jsonb_build_object(
            'device_uid', device_uid, 'name', name,
            'condition', changed.condition, 'since', changed.since
        ) ORDER BY place) FILTER (WHERE place <= %(shown)s)
    ) AS content
    FROM (
        SELECT changed.*, device_uid, name,
            row_number() OVER (PARTITION BY rule_id ORDER BY device_uid) AS place
        FROM changed JOIN devices_device AS device ON device.id = device_id
    ) AS changed
    GROUP BY rule_id
),
notices AS (
    INSERT INTO devices_alertnotice
        (id, rule_id, kind, channel, target, at, content, next_at, attempts, error)
    SELECT gen_random_uuid(), rule.id, %(kind)s, channel, target, statement_timestamp(),
        content || jsonb_build_object('rule', jsonb_build_object(
            'id', rule.id, 'name', rule.name, 'condition', rule.condition,
            'after_minutes', after_minutes
        )),
        statement_timestamp(), 0, ''
    FROM told JOIN devices_alertrule AS rule ON rule.id = rule_id
    CROSS JOIN LATERAL (
        SELECT 'email' AS channel, unnest(emails) AS target
        UNION SELECT 'webhook', webhook_url WHERE webhook_url <> ''
    ) AS address
)
SELECT count(*) FROM changed
"""

# Optimization: all devices of the tenant are read at each look. An index by the time of the last
# reading would be written with every message, and cost more than ten thousand rows every half
# minute.
RAISE = f"""
WITH changed AS (
    INSERT INTO devices_alert (rule_id, device_id, tenant_id, condition, since, raised_at, "end")
    SELECT rule.id, device.id, rule.tenant_id,
        CASE WHEN is_offline THEN 'offline' ELSE 'silent' END,
        CASE WHEN is_offline THEN since ELSE data_at END, statement_timestamp(), ''
    FROM devices_alertrule AS rule
    JOIN devices_device AS device
        ON device.tenant_id = rule.tenant_id
        AND (rule.type_id IS NULL OR device.type_id = rule.type_id)
        AND device.is_enabled AND device.deleted_at IS NULL
    JOIN devices_devicestate AS state ON state.device_id = device.id
    CROSS JOIN LATERAL (
        SELECT %(known)s - after_minutes * interval '1 minute' AS edge
    ) AS allowed
    CROSS JOIN LATERAL (SELECT
        rule.condition <> 'silent' AND session = 'offline'
            AND greatest(since, counts_since, %(listening)s) < edge AS is_offline,
        rule.condition <> 'offline'
            AND data_at < edge AND greatest(counts_since, %(listening)s) < edge AS is_silent
    ) AS found
    WHERE rule.id = %(rule)s AND rule.is_enabled AND (is_offline OR is_silent) AND NOT EXISTS (
        SELECT FROM devices_alert AS open
        WHERE open.rule_id = rule.id AND open.device_id = device.id AND open.cleared_at IS NULL
    )
    ORDER BY device.id LIMIT %(most)s
    ON CONFLICT (rule_id, device_id) WHERE cleared_at IS NULL DO NOTHING
    RETURNING rule_id, device_id, condition, since
),
{TELL}
"""

# That a session is not known any more, as the broker lost it, is no sign of life; a message is. Of
# either condition the one that lasts keeps the alert open, under its own name.
CLEAR = f"""
WITH judged AS (
    SELECT alert.id,
        CASE
            WHEN NOT rule.is_enabled THEN 'rule'
            WHEN NOT device.is_enabled OR device.deleted_at IS NOT NULL
                OR device.tenant_id <> rule.tenant_id
                OR rule.type_id IS NOT NULL AND device.type_id IS DISTINCT FROM rule.type_id
                THEN 'device'
            WHEN is_offline IS NOT TRUE AND is_silent IS NOT TRUE THEN 'over'
            ELSE ''
        END AS "end",
        is_offline IS TRUE AS is_offline, is_silent IS TRUE AS is_silent,
        state.since, data_at
    FROM devices_alert AS alert
    JOIN devices_alertrule AS rule ON rule.id = alert.rule_id
    JOIN devices_device AS device ON device.id = alert.device_id
    LEFT JOIN devices_devicestate AS state ON state.device_id = device.id
    CROSS JOIN LATERAL (SELECT
        rule.condition <> 'silent' AND (
            session = 'offline' OR session = 'unknown' AND alert.condition = 'offline'
            AND coalesce(last_seen_at <= alert.since, true)
        ) AS is_offline,
        rule.condition <> 'offline'
            AND data_at < statement_timestamp() - after_minutes * interval '1 minute' AS is_silent
    ) AS found
    WHERE alert.rule_id = %(rule)s AND alert.cleared_at IS NULL
),
ended AS (
    UPDATE devices_alert AS alert SET cleared_at = statement_timestamp(), "end" = judged."end"
    FROM (SELECT * FROM judged WHERE "end" <> '' ORDER BY id LIMIT %(most)s) AS judged
    WHERE alert.id = judged.id AND cleared_at IS NULL
    RETURNING rule_id, device_id, condition, alert.since, alert."end"
),
turned AS (
    UPDATE devices_alert AS alert
    SET condition = CASE WHEN is_offline THEN 'offline' ELSE 'silent' END,
        since = CASE WHEN is_offline THEN coalesce(judged.since, alert.since) ELSE data_at END
    FROM judged
    WHERE alert.id = judged.id AND judged."end" = ''
      AND NOT CASE alert.condition WHEN 'offline' THEN is_offline ELSE is_silent END
),
changed AS (SELECT rule_id, device_id, condition, since FROM ended WHERE "end" = 'over'),
{TELL}
"""


class Hearing(NamedTuple):
    """Since when ingestors listen without a break, until when they have taken in all that was sent,
    and since when they have not, if so: nothing is raised then."""

    listening_since: datetime
    known_until: datetime | None
    deaf_since: datetime | None


class Found(NamedTuple):
    """What a look at a rule found: how many alerts it raised, and how many devices are back.

    `is_slow`: it found nothing, as it took too long for as many.
    """

    raised: int = 0
    cleared: int = 0
    is_slow: bool = False


def listen() -> Hearing:
    """Note that somebody watches, and whether that says anything."""
    with connection.cursor() as cursor:
        cursor.execute(LISTEN, {"deaf": DEAF_SECONDS, "stalled": STALLED_SECONDS})
        listening_since, deaf_since, known_until = cursor.fetchone()
    return Hearing(listening_since, known_until, deaf_since)


def rules() -> list[int]:
    """Those to look at: what a rule raised is cleared even if it is switched off."""
    raised = Alert.objects.open().filter(rule=OuterRef("pk"))
    watched = AlertRule.objects.filter(Q(is_enabled=True) | Exists(raised))
    return list(watched.order_by("pk").values_list("pk", flat=True))


def look(rule: int, most: int = MOST) -> Found:
    """Look at a rule, unless somebody else is at it, for as many alerts of each kind."""
    hearing = listen()
    try:
        return _look(rule, most, hearing)
    except OperationalError as error:
        if fault_of(error) is not Fault.SLOW:
            raise
        logger.warning("A look at alert rule %d for %d devices takes too long.", rule, most)
        return Found(is_slow=True)


@transaction.atomic
def _look(rule: int, most: int, hearing: Hearing) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(RULE_TIMEOUT)
        cursor.execute(HOLD, [rule])
        if not cursor.fetchone():
            return Found()
        of = {"shown": SHOWN, "rule": rule, "most": most}
        cleared = _changed(cursor, CLEAR, {**of, "kind": AlertNoticeKind.CLEARED})
        if hearing.deaf_since:
            return Found(0, cleared)
        listens = {"listening": hearing.listening_since, "known": hearing.known_until}
        kind = AlertNoticeKind.RAISED
        return Found(_changed(cursor, RAISE, {**of, **listens, "kind": kind}), cleared)


def _changed(cursor: Any, statement: str, parameters: dict[str, Any]) -> int:
    cursor.execute(statement, parameters)
    (count,) = cursor.fetchone()
    return int(count)
