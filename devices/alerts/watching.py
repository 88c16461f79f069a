"""Finds the devices that are silent or offline for longer than a rule allows, and those that are
back: a round for all rules at once.

A round is one transaction, which raises alerts, clears others, and adds what is to be told of that.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from devices.models import AlertNoticeKind

DEAF_SECONDS = 120
"""An ingestor that was not heard of for this long is not there; nor is a watch."""
SHOWN = 50
"""So many devices are named in one notice; of the others it has the number."""

# Whoever changes a rule waits for a round, and a round of another dispatcher is left out.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('alerts', 0))"
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('alerts', 0))"

# An ingestor that has no connection to the broker hears nobody either. After a break that was as
# long, time counts from its end: nobody knows what devices sent meanwhile.
LOOK = """
INSERT INTO devices_alertwatch AS watch (id, checked_at, listening_since, deaf_since)
SELECT 1, statement_timestamp(), coalesce(since, statement_timestamp()),
    CASE WHEN since IS NULL THEN coalesce(last, statement_timestamp()) END
FROM (
    SELECT max(beat_at) AS last, min(least(started_at, statement_timestamp())) FILTER (
        WHERE beat_at > statement_timestamp() - %(deaf)s * interval '1 second'
          AND detail -> 'connected' IS DISTINCT FROM 'false'::jsonb
    ) AS since
    FROM devices_heartbeat WHERE kind = 'ingestor'
) AS ingestor
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
RETURNING listening_since, deaf_since
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

# Optimization: all devices are read once a round. An index by the time of the last reading would be
# written with every message, and cost more than ten thousand rows every half minute.
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
        SELECT statement_timestamp() - after_minutes * interval '1 minute' AS edge
    ) AS allowed
    CROSS JOIN LATERAL (SELECT
        rule.condition <> 'silent' AND session = 'offline'
            AND since < edge AND %(listening)s < edge AS is_offline,
        rule.condition <> 'offline'
            AND data_at < edge AND %(listening)s < edge AS is_silent
    ) AS found
    WHERE rule.is_enabled AND (is_offline OR is_silent) AND NOT EXISTS (
        SELECT FROM devices_alert AS open
        WHERE open.rule_id = rule.id AND open.device_id = device.id AND open.cleared_at IS NULL
    )
    ORDER BY rule.id, device.id
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
            AND last_seen_at <= alert.since
        ) AS is_offline,
        rule.condition <> 'offline'
            AND data_at < statement_timestamp() - after_minutes * interval '1 minute' AS is_silent
    ) AS found
    WHERE alert.cleared_at IS NULL
),
ended AS (
    UPDATE devices_alert AS alert SET cleared_at = statement_timestamp(), "end" = judged."end"
    FROM judged WHERE alert.id = judged.id AND judged."end" <> '' AND cleared_at IS NULL
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


class Round(NamedTuple):
    """What a round found: how many alerts it raised, and how many devices are back.

    Nothing is raised while no ingestor has spoken, `deaf_since` then.
    """

    raised: int
    cleared: int
    deaf_since: datetime | None


@transaction.atomic
def look() -> Round | None:
    """A round, unless somebody else is at it."""
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK)
        if cursor.fetchone() != (True,):
            return None
        cursor.execute(LOOK, {"deaf": DEAF_SECONDS})
        listening_since, deaf_since = cursor.fetchone()
        cleared = _changed(cursor, CLEAR, kind=AlertNoticeKind.CLEARED)
        raised = 0
        if not deaf_since:
            kind = AlertNoticeKind.RAISED
            raised = _changed(cursor, RAISE, kind=kind, listening=listening_since)
    return Round(raised, cleared, deaf_since)


def _changed(cursor: Any, statement: str, **parameters: Any) -> int:
    cursor.execute(statement, {"shown": SHOWN, **parameters})
    (count,) = cursor.fetchone()
    return int(count)
