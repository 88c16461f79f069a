"""Rules as people make, change and delete them, and try them out."""

from collections.abc import Collection
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.alerts import outbox
from devices.alerts.delivering import deliver_all
from devices.alerts.outbox import Sent
from devices.alerts.watching import LOCK
from devices.alerts.webhook import new_secret
from devices.models import AlertChannel, AlertEnd, AlertRule

DECISIVE = {"type", "condition", "after_minutes", "is_enabled"}
"""What a rule raises depends on these."""
ADDRESSES = {"emails", "webhook_url"}
FORMER_IS_GOOD = timedelta(hours=24)
TAKEN_OUT = sentence(_("The address was taken out of the rule."))


@transaction.atomic
def save(rule: AlertRule, changed: Collection[str] = ()) -> str:
    """Save a rule of which the fields `changed` have new values. Returns the secret of its webhook
    if it has just got one, which nobody is shown again.

    What it raised under other terms is over; what is on its way goes to the new addresses.
    """
    _wait_for_round()
    secret = ""
    if rule.webhook_url and not rule.webhook_secret:
        rule.webhook_secret = secret = new_secret()
    rule.save()
    if DECISIVE & set(changed):
        now = timezone.now()
        rule.alerts.filter(cleared_at=None).update(cleared_at=now, end=AlertEnd.RULE)
    if ADDRESSES & set(changed):
        _readdress(rule)
    return secret


@transaction.atomic
def delete(rules: Collection[AlertRule]) -> None:
    """Delete rules with all that they raised."""
    _wait_for_round()
    for rule in rules:
        rule.delete()


def renew_secret(rule: AlertRule) -> str:
    """A new secret for a rule's webhook. The one before signs as well for another day."""
    rule.former_secret, rule.former_until = rule.webhook_secret, timezone.now() + FORMER_IS_GOOD
    rule.webhook_secret = new_secret()
    rule.save(update_fields=["webhook_secret", "former_secret", "former_until"])
    return rule.webhook_secret


def test(rule: AlertRule) -> list[Sent]:
    """Send a test to each address of a rule, and say what became of it."""
    sent = deliver_all(outbox.claim_test(rule, timezone.now()))
    outbox.settle(sent)
    return sent


def _readdress(rule: AlertRule) -> None:
    """Have notices that wait sent to where the rule says now."""
    waiting, now = rule.notices.filter(delivered_at=None, failed_at=None), timezone.now()
    by_email = waiting.filter(channel=AlertChannel.EMAIL).exclude(target__in=rule.emails)
    by_email.update(failed_at=now, error=TAKEN_OUT)
    by_webhook = waiting.filter(channel=AlertChannel.WEBHOOK).exclude(target=rule.webhook_url)
    if rule.webhook_url:
        by_webhook.update(target=rule.webhook_url, next_at=now)
    else:
        by_webhook.update(failed_at=now, error=TAKEN_OUT)


def _wait_for_round() -> None:
    """A round that knows the rule as it was must not raise anything after this."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
