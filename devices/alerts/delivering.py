"""Sends notices, each by its channel; in threads, for nothing here touches the database."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from devices.alerts import mail, webhook
from devices.alerts.addresses import Refused
from devices.alerts.outbox import Claim, Sent
from devices.alerts.webhook import NotDelivered
from devices.models import AlertChannel

logger = logging.getLogger(__name__)

WORKERS = 8
"""So many are sent at once."""
ERROR_LENGTH = 300


def deliver(claim: Claim) -> Sent:
    """Send a notice, whatever the trouble: no other suffers from it."""
    try:
        if claim.channel == AlertChannel.EMAIL:
            mail.send(claim, link_of(claim))
        else:
            webhook.post(claim.target, str(claim.id), message_of(claim), claim.secrets)
    except NotDelivered as error:
        return Sent(claim, in_a_line(str(error)), error.is_final)
    except Refused as error:
        return Sent(claim, in_a_line(str(error)))
    except Exception as error:
        logger.exception("Notice %s could not be sent.", claim.id)
        return Sent(claim, f"It could not be sent: {type(error).__name__}")
    return Sent(claim)


def place_in_log(claim: Claim) -> str:
    """Where it goes, without what may be a secret: a webhook's path, a person's name."""
    if claim.channel == AlertChannel.EMAIL:
        return f"e-mail to {claim.target.rpartition('@')[2]}"
    return f"webhook at {urlsplit(claim.target).hostname}"


def in_a_line(error: str) -> str:
    """What a row and a log can have of an error, whatever the other end put into it."""
    return "".join(each if each.isprintable() else " " for each in error)[:ERROR_LENGTH]


def deliver_all(claims: Sequence[Claim]) -> list[Sent]:
    """What became of all of them, which takes hardly longer than the slowest one."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="notices") as threads:
        return list(threads.map(deliver, claims))


def message_of(claim: Claim) -> dict[str, Any]:
    """What a webhook is sent; docs/alerts.md describes it."""
    link = {"link": where} if (where := link_of(claim)) else {}
    return {
        "type": f"alert.{claim.kind}",
        "timestamp": claim.at.isoformat(),
        "data": {**claim.content, **link},
    }


def link_of(claim: Claim) -> str:
    """The console's page of what the rule raised; nothing if nobody said where the console is."""
    if not settings.PUBLIC_URL:
        return ""
    alerts = reverse("admin:devices_alert_changelist")
    return f"{settings.PUBLIC_URL.rstrip('/')}{alerts}?rule__id__exact={claim.rule_id}"
