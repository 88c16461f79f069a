"""Takes notices from their rows to whoever sends them, and back what became of them."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from devices.models import Alert, AlertChannel, AlertNotice, AlertNoticeKind, AlertRule

# Longer than sending takes, name servers that do not answer included.
LEASE_SECONDS = 120
FIRST_PAUSE, LONGEST_PAUSE = 60, 3600
GIVEN_UP_AFTER = timedelta(hours=24)
KEPT = timedelta(days=90)

# By the index of those that are due; of several who ask at once each gets others. A tenant whose
# receivers are slow has no more of those who send than this many.
MOST_OF_TENANT = 2
CLAIM = """
UPDATE devices_alertnotice
SET next_at = statement_timestamp() + %(lease)s * interval '1 second', attempts = attempts + 1
WHERE id = ANY(ARRAY(
    SELECT id FROM devices_alertnotice
    WHERE delivered_at IS NULL AND failed_at IS NULL AND next_at <= statement_timestamp()
      AND id = ANY(ARRAY(
        SELECT id FROM (
            SELECT notice.id, next_at, tenant_id,
                row_number() OVER (PARTITION BY tenant_id ORDER BY next_at) AS place
            FROM devices_alertnotice AS notice JOIN devices_alertrule AS rule ON rule.id = rule_id
            WHERE delivered_at IS NULL AND failed_at IS NULL AND next_at <= statement_timestamp()
        ) AS due
        WHERE place + cardinality(array_positions(%(busy)s::bigint[], tenant_id)) <= %(most)s
        ORDER BY place, next_at LIMIT %(limit)s
    ))
    FOR UPDATE SKIP LOCKED
))
RETURNING id
"""

# Whoever lost their lease is not believed: somebody else sends it by now. What was given up for
# another reason meanwhile stays so.
SETTLE = """
UPDATE devices_alertnotice AS notice
SET error = settled.error,
    delivered_at = CASE WHEN settled.error = '' THEN statement_timestamp() END,
    failed_at = CASE WHEN settled.error <> '' AND (
        settled.is_final OR kind = 'test'
        OR at < statement_timestamp() - %(give_up)s * interval '1 second'
    ) THEN statement_timestamp() END,
    next_at = statement_timestamp() + settled.pause * interval '1 second'
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(errors)s::text[], %(finals)s::bool[],
    %(pauses)s::int[]) AS settled (id, attempts, error, is_final, pause)
WHERE notice.id = settled.id AND notice.attempts = settled.attempts
  AND delivered_at IS NULL AND failed_at IS NULL
"""

# What a test is about.
NOTHING: dict[str, Any] = {"count": 0, "offline": 0, "silent": 0, "devices": []}


class Claim(NamedTuple):
    """A notice in hand: all that it takes to send it. `secrets` are those that sign."""

    id: UUID
    attempts: int
    kind: str
    channel: str
    target: str
    at: datetime
    rule_id: int
    tenant_id: int
    content: dict[str, Any]
    secrets: tuple[str, ...]


class Sent(NamedTuple):
    """What became of it: an `error`, or none. One that is `final` is not tried again."""

    claim: Claim
    error: str = ""
    is_final: bool = False


@transaction.atomic
def claim(limit: int, busy: Collection[int] = ()) -> list[Claim]:
    """Notices that are due, for nobody else to send before the lease is over.

    `busy` has the tenant of each one that is in hand.
    """
    of: dict[str, Any] = {"limit": limit, "lease": LEASE_SECONDS}
    of |= {"busy": list(busy), "most": MOST_OF_TENANT}
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, of)
        claimed = [notice for (notice,) in cursor.fetchall()]
    return _read(claimed)


@transaction.atomic
def claim_test(rule: AlertRule, now: datetime) -> list[Claim]:
    """Notices of a test, one for each address of a rule, already in hand."""
    targets = [(AlertChannel.EMAIL, email) for email in rule.emails]
    if rule.webhook_url:
        targets.append((AlertChannel.WEBHOOK, rule.webhook_url))
    notices = AlertNotice.objects.bulk_create(
        AlertNotice(
            rule=rule,
            kind=AlertNoticeKind.TEST,
            channel=channel,
            target=target,
            at=now,
            content=NOTHING | {"rule": described(rule)},
            next_at=now + timedelta(seconds=LEASE_SECONDS),
            attempts=1,
        )
        for channel, target in targets
    )
    return _read([notice.pk for notice in notices])


def settle(sent: Collection[Sent]) -> None:
    """Record what became of notices; those with an error are due again after a pause that grows."""
    with connection.cursor() as cursor:
        cursor.execute(
            SETTLE,
            {
                "give_up": GIVEN_UP_AFTER.total_seconds(),
                "ids": [each.claim.id for each in sent],
                "attempts": [each.claim.attempts for each in sent],
                "errors": [each.error for each in sent],
                "finals": [each.is_final for each in sent],
                "pauses": [pause_after(each.claim.attempts) for each in sent],
            },
        )


def pause_after(attempts: int) -> int:
    """Seconds until the next attempt: a minute, then twice as long each time, an hour at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 16))


def described(rule: AlertRule) -> dict[str, Any]:
    """A rule as a notice has it; `watching.TELL` says the same."""
    return {
        "id": rule.pk,
        "name": rule.name,
        "condition": rule.condition,
        "after_minutes": rule.after_minutes,
    }


def outlived(now: datetime) -> list[tuple[str, str, Any]]:
    """What `maintain` deletes: the name of the job, what it is, and the rows."""
    before, days = now - KEPT, KEPT.days
    return [
        ("alerts", f"alerts that were cleared more than {days} days ago",
         Alert.objects.filter(cleared_at__lt=before).order_by("pk")),
        ("alert_notices", f"notices of alerts older than {days} days",
         AlertNotice.objects.filter(at__lt=before).order_by("pk")),
    ]  # fmt: skip


def _read(ids: Collection[UUID]) -> list[Claim]:
    notices = AlertNotice.objects.filter(pk__in=ids).select_related("rule")
    return [
        Claim(
            notice.pk,
            notice.attempts,
            notice.kind,
            notice.channel,
            notice.target,
            notice.at,
            notice.rule_id,
            notice.rule.tenant_id,
            notice.content,
            tuple(notice.rule.signing_secrets()),
        )
        for notice in notices.order_by("at", "pk")
    ]
