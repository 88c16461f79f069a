"""Rules as people make, change and delete them, and try them out."""

from collections.abc import Collection
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.alerts import outbox
from devices.alerts.delivering import deliver_all
from devices.alerts.outbox import Claim, Sent
from devices.alerts.webhook import new_secret
from devices.models import AlertChannel, AlertEnd, AlertNotice, AlertNoticeKind, AlertRule

DECISIVE = {"type", "condition", "after_minutes", "is_enabled"}
"""What a rule raises depends on these."""
ADDRESSES = {"emails", "webhook_url"}
TEST_PAUSE = timedelta(minutes=1)
TESTS_A_DAY = 20
"""Of all rules of a tenant."""
FORMER_IS_GOOD = timedelta(hours=24)
TAKEN_OUT = sentence(_("The address was taken out of the rule."))


@transaction.atomic
def save(rule: AlertRule, changed: Collection[str] = ()) -> str:
    """Save a rule of which the fields `changed` have new values. Returns the secret of its webhook
    if it has just got one, which nobody is shown again.

    What it raised under other terms is over; what is on its way goes to the new addresses.
    """
    fields, secret = set(changed), ""
    if rule.pk:
        rule.webhook_secret = _held(rule).webhook_secret
    if rule.webhook_url and not rule.webhook_secret:
        rule.webhook_secret = secret = new_secret()
        fields.add("webhook_secret")
    # Not what others have changed since it was read.
    rule.save(update_fields=fields if rule.pk else None)
    if DECISIVE & set(changed):
        now = timezone.now()
        rule.alerts.filter(cleared_at=None).update(cleared_at=now, end=AlertEnd.RULE)
    if ADDRESSES & set(changed):
        _readdress(rule)
    return secret


@transaction.atomic
def delete(rules: Collection[AlertRule]) -> None:
    """Delete rules with all that they raised."""
    for rule in rules:
        # What a look raises meanwhile would keep it.
        _held(rule)
        rule.delete()


@transaction.atomic
def renew_secret(rule: AlertRule) -> str:
    """A new secret for a rule's webhook. The one before signs as well for another day."""
    rule.former_secret = _held(rule).webhook_secret
    rule.former_until = timezone.now() + FORMER_IS_GOOD
    rule.webhook_secret = new_secret()
    rule.save(update_fields=["webhook_secret", "former_secret", "former_until"])
    return rule.webhook_secret


class TooManyTests(Exception):
    """Not now; why is said for people."""


def test(rule: AlertRule) -> list[Sent]:
    """Send a test to each address of a rule, and say what became of it.

    Raises TooManyTests: who tries it out may not bother others with it.
    """
    sent = deliver_all(_claim_test(rule))
    outbox.settle(sent)
    return sent


@transaction.atomic
def _claim_test(rule: AlertRule) -> list[Claim]:
    held, now = _held(rule), timezone.now()
    # By the index of a rule's notices, of each rule of the tenant.
    tests = AlertNotice.objects.filter(kind=AlertNoticeKind.TEST, rule__tenant=rule.tenant_id)
    if tests.filter(rule=rule, at__gt=now - TEST_PAUSE).exists():
        raise TooManyTests(gettext("A test was sent a moment ago. Try again in a minute."))
    today = tests.filter(at__gt=now - timedelta(days=1)).order_by().values("rule", "at").distinct()
    if today.count() >= TESTS_A_DAY:
        text = gettext("{count} tests were sent within a day. Try again tomorrow.")
        raise TooManyTests(text.format(count=TESTS_A_DAY))
    return outbox.claim_test(held, now)


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


def _held(rule: AlertRule) -> AlertRule:
    """The rule as it is now, and stays until the transaction ends: a look at it that knows it as it
    was must not raise anything after this."""
    return AlertRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
