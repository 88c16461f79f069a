"""The e-mail server that alerts go out by."""

import smtplib
from collections.abc import Iterator

from django.conf import settings
from django.core.mail import get_connection

from iotplatform.doctor.finding import Finding, ok, problem

SECONDS = 5


def server() -> Iterator[Finding]:
    """Whether it answers, and takes our account; nothing is sent."""
    if not settings.EMAIL:
        yield ok("e-mail", "No server is configured (EMAIL_URL): alerts only go to webhooks.")
        return
    mails = get_connection(timeout=SECONDS)
    place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        mails.open()
        mails.close()
    except (OSError, smtplib.SMTPException) as error:
        said = f"{place} does not let us in: {' '.join(str(error).split())}"
        advice = "Compare EMAIL_URL: smtp+tls:// for port 587, smtp+ssl:// for 465, name, password."
        yield problem("e-mail", said, advice)
    else:
        yield ok("e-mail", f"{place} lets us in.")
