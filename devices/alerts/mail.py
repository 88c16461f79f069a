"""Sends a notice as an e-mail, in plain text."""

import smtplib
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.utils.translation import gettext_noop as _

from accounts.words import sentence
from devices.alerts.outbox import Claim
from devices.alerts.webhook import NotDelivered
from devices.models import AlertCondition, AlertNoticeKind

SECONDS = 10
SUBJECT_LENGTH = 200
NO_SERVER = sentence(_("No e-mail server is configured: set EMAIL_URL."))
NOT_SENT = sentence(_("The e-mail server did not take it: {error}"))
NO_CONTACT = sentence(_("The e-mail server cannot be reached: {error}"))
ADJECTIVES = {
    AlertCondition.OFFLINE: "offline",
    AlertCondition.SILENT: "silent",
    AlertCondition.EITHER: "silent or offline",
}


def send(claim: Claim, link: str) -> None:
    """Send it to its target. Raises NotDelivered, which is final where the address is refused."""
    if not settings.EMAIL:
        raise NotDelivered(NO_SERVER)
    message = EmailMessage(
        subject_of(claim),
        text_of(claim, link),
        settings.EMAIL_FROM,
        [claim.target],
        connection=get_connection(timeout=SECONDS),
        # Of one notice the same whenever it is sent: who got it twice sees that.
        headers={"Message-ID": f"<{claim.id}@{_domain()}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        why = NOT_SENT.format(error=f"{code} {_text(reply)}"[:200])
        raise NotDelivered(why, is_final=code >= 500) from error
    except smtplib.SMTPResponseException as error:
        why = f"{error.smtp_code} {_text(error.smtp_error)}"
        raise NotDelivered(NOT_SENT.format(error=why[:200])) from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(NO_CONTACT.format(error=str(error)[:200])) from error


def subject_of(claim: Claim) -> str:
    """One line: “3 devices silent: Pumps”."""
    name = claim.content["rule"]["name"]
    if claim.kind == AlertNoticeKind.TEST:
        subject = f"Test: {name}"
    elif claim.kind == AlertNoticeKind.CLEARED:
        subject = f"{_devices(claim)} back: {name}"
    else:
        subject = f"{_devices(claim)} {_condition(claim)}: {name}"
    # Without line breaks, whatever a name has.
    return " ".join(subject.split())[:SUBJECT_LENGTH]


def text_of(claim: Claim, link: str) -> str:
    rule, devices = claim.content["rule"], claim.content["devices"]
    allowed = f"{rule['after_minutes']} minute{'' if rule['after_minutes'] == 1 else 's'}"
    named = ADJECTIVES[AlertCondition(rule["condition"])]
    lines = {
        AlertNoticeKind.TEST: [
            f"This is a test of the alert rule “{rule['name']}”.",
            f"It tells you here when devices are {named} for longer than {allowed}.",
        ],
        AlertNoticeKind.RAISED: [
            f"{_devices(claim)} {_condition(claim)} for longer than {allowed} "
            f"(alert rule “{rule['name']}”):"
        ],
        AlertNoticeKind.CLEARED: [f"{_devices(claim)} back (alert rule “{rule['name']}”):"],
    }[AlertNoticeKind(claim.kind)]
    lines += [""] * bool(devices) + [_line(device, claim) for device in devices]
    if hidden := claim.content["count"] - len(devices):
        lines.append(f"… and {hidden:,} more.")
    return "\n".join([*lines, *(["", link] if link else []), ""])


def _line(device: dict[str, Any], claim: Claim) -> str:
    since = datetime.fromisoformat(device["since"]).astimezone(UTC)
    name = f" ({device['name']})" if device["name"] not in ("", device["device_uid"]) else ""
    if claim.kind == AlertNoticeKind.CLEARED:
        lasted = timedelta(seconds=int((claim.at - since).total_seconds()))
        return f"- {device['device_uid']}{name}: was {device['condition']} for {lasted}"
    return f"- {device['device_uid']}{name}: {device['condition']} since {since:%Y-%m-%d %H:%M} UTC"


def _devices(claim: Claim) -> str:
    count = claim.content["count"]
    return f"{count:,} device{'' if count == 1 else 's'}"


def _condition(claim: Claim) -> str:
    """What is wrong with them: the same with all of them, or not."""
    if not claim.content["silent"]:
        return ADJECTIVES[AlertCondition.OFFLINE]
    either = AlertCondition.EITHER if claim.content["offline"] else AlertCondition.SILENT
    return ADJECTIVES[either]


def _domain() -> str:
    return settings.EMAIL_FROM.rpartition("@")[2].rstrip(">") or "localhost"


def _text(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply
