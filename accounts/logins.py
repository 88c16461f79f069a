"""The one door for passwords, of API and console alike: who may try how often.

Failures are counted in the database, so for all processes together, and before a password is
looked at: that costs 100 MiB and a tenth of a second.
"""

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import cast

from django.contrib.auth import authenticate
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.status import HTTP_429_TOO_MANY_REQUESTS

from accounts.addresses import address_of
from accounts.models import LoginAttempt, User

logger = logging.getLogger(__name__)

WRONG = _("The e-mail address or the password is wrong.")
FAILED = gettext_noop("Too many logins failed.")
BUSY = gettext_noop("Too many logins at once.")

# Failures, within how long, until somebody has to wait.
FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT = (10, timedelta(minutes=5))
FROM_ONE_ADDRESS = (50, timedelta(minutes=5))
# Ten times what one address can spend on it, and not for an address from which the account has
# logged in: from elsewhere nobody can shut it out.
FOR_ONE_ACCOUNT = (300, timedelta(minutes=15))

ACCOUNT_LOCK, ADDRESS_LOCK = 1, 2
KEY = "SELECT encode(sha256(convert_to(lower(%s), 'UTF8')), 'hex')"
LOCK = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"

CHECKED_AT_ONCE = 2
"""Passwords that a process checks at the same time, for the sake of its memory."""
WAITING = 2
"""How many more wait for their turn; with more, logins would take all threads from others."""
turns = threading.BoundedSemaphore(CHECKED_AT_ONCE)
places = threading.BoundedSemaphore(CHECKED_AT_ONCE + WAITING)


class TooManyAttempts(APIException):
    """Nothing was checked; after `wait` seconds it can be."""

    status_code = HTTP_429_TOO_MANY_REQUESTS

    def __init__(self, why: str, wait: int) -> None:
        self.wait = wait
        again = ngettext("Try again in a second.", "Try again in {wait} seconds.", wait)
        super().__init__(f"{gettext(why)} {again.format(wait=wait)}", "throttled")


def log_in(request: HttpRequest, email: str, password: str) -> User | None:
    """The active user with this e-mail address and password, or nobody; or TooManyAttempts.

    An address that nobody has, a wrong password and a disabled user are the same work.
    """
    email, address = User.objects.normalize_email(email), address_of(request)
    with _place():
        attempt = _admit(email, address)
        with turns:
            user = cast("User | None", authenticate(request, username=email, password=password))
        attempt.settle(succeeded=user is not None)
    if not user:
        logger.info("A login failed, from %s.", address, extra={"address": address})
    return user


@contextmanager
def _place() -> Iterator[None]:
    if not places.acquire(blocking=False):
        raise TooManyAttempts(BUSY, 1)
    try:
        yield
    finally:
        places.release()


def _admit(email: str, address: str) -> LoginAttempt:
    """Notes an attempt; TooManyAttempts if there were, or may be with those under way, too many."""
    with transaction.atomic():
        account = _lock(email, address)
        now = timezone.now()
        if wait := _wait(account, address, now):
            why = BUSY if wait == LoginAttempt.MOMENT else FAILED
            logger.warning("%s From %s.", why, address, extra={"address": address})
            raise TooManyAttempts(why, math.ceil(wait.total_seconds()))
        return LoginAttempt.objects.create(account=account, address=address, at=now)


def _lock(email: str, address: str) -> str:
    """Until the transaction ends, no other attempt for the account, or from there, is counted.

    Returns what the account is called in LoginAttempt. PostgreSQL makes it, as two spellings that
    differ for Python may be the same account there. Always in this order, so nobody waits in a
    circle.
    """
    with connection.cursor() as cursor:
        cursor.execute(KEY, [email])
        account = str(cursor.fetchone()[0])
        cursor.execute(LOCK, [ACCOUNT_LOCK, account])
        cursor.execute(LOCK, [ADDRESS_LOCK, address])
    return account


def _wait(account: str, address: str, now: datetime) -> timedelta:
    """How long until there may be another attempt; zero for at once."""
    attempts = LoginAttempt.objects
    of_both = attempts.filter(account=account, address=address)
    wait = max(
        of_both.wait(*FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT, now),
        attempts.with_passwords().filter(address=address).wait(*FROM_ONE_ADDRESS, now),
    )
    elsewhere = attempts.filter(account=account).wait(*FOR_ONE_ACCOUNT, now)
    is_longer = elsewhere > wait
    return wait if not is_longer or of_both.known(now).exists() else elsewhere
