"""Who tries keys that are good for nothing: how often, from one address, until they have to wait.

Counted as logins that fail are (`accounts/logins.py`), and apart from them.
"""

import logging
import math

from django.utils import timezone

from accounts.logins import FROM_ONE_ADDRESS, FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT, TooManyAttempts
from accounts.models import LoginAttempt

logger = logging.getLogger(__name__)

FAILED = "Too many enrolments failed."


def check(digest: bytes, address: str) -> None:
    """Raises TooManyAttempts if no key is looked at from there for now, or not this one.

    The second limit is far below the first: of a lot whose key has expired, devices that go on
    trying do not shut out those beside them that have another one.
    """
    now = timezone.now()
    failures = LoginAttempt.objects.with_keys().filter(address=address)
    wait = max(
        failures.filter(account=account_of(digest)).wait(*FROM_ONE_ADDRESS_FOR_ONE_ACCOUNT, now),
        failures.wait(*FROM_ONE_ADDRESS, now),
    )
    if wait:
        logger.warning("%s From %s.", FAILED, address, extra={"address": address})
        raise TooManyAttempts(FAILED, math.ceil(wait.total_seconds()))


def note(digest: bytes, address: str) -> None:
    """That a key with this digest was tried from there, and is good for nothing."""
    logger.info("An enrolment failed, from %s.", address, extra={"address": address})
    account, now = account_of(digest), timezone.now()
    LoginAttempt.objects.create(account=account, address=address, at=now, succeeded=False)


def account_of(digest: bytes) -> str:
    """What a key is called in LoginAttempt, as much of it as there is room for."""
    longest = LoginAttempt._meta.get_field("account").max_length
    return f"{LoginAttempt.KEYS}{digest.hex()}"[:longest]
