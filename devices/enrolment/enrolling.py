"""Lets a device in that shows a key: the one write, under a lock of the key's row.

Whoever locks more takes them in this order: key, devices, credentials, broker changes.
"""

import math
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied

from accounts.conflicts import Conflict, conflicts
from accounts.logins import TooManyAttempts
from devices.credentials.issuing import Issued, Terms, issue
from devices.credentials.tokens import digest_of
from devices.enrolment import failures
from devices.enrolment.keys import KeyState, state_of
from devices.models import Credential, Device, Enrolment, EnrolmentKey, Origin

WINDOW = timedelta(minutes=1)
USES_A_WINDOW = 600
"""How often one key is looked at within WINDOW, whatever comes of it."""
LOOKS = ["window_began_at", "window_uses"]

WRONG = "The key is wrong, or it has expired or been revoked. Ask whoever gave it to you."
BUSY = f"The key was used {USES_A_WINDOW:,} times within a minute."
USED_UP = "As many devices as this key is for have enrolled with it. Ask for a higher quota."
TAKEN = "This uid is taken by a device that did not enrol with this key. Give the device another."
DELETED = (
    "This device was deleted. Its uid is free again when maintain has erased it, within a day; or "
    "give the device another."
)
SHUT_OUT = (
    "This device was disabled, or its credential revoked. An operator can enable it, or make it a "
    "new credential; then its key is good again."
)


class Enrolled(NamedTuple):
    """A device that may connect now. Not `is_new` if it had enrolled before."""

    device: Device
    issued: Issued
    is_new: bool


def enrol(secret: str, uid: str, address: str) -> Enrolled:
    """Give the device a token for a key; `address` is where it asks from.

    The token that it had ends at once. Refusals are errors of REST framework; a key that is good
    for nothing is the same one whether it ever was, and counts against the address.
    """
    digest = digest_of(secret)
    failures.check(digest, address)
    try:
        return _with_key(digest, uid)
    except AuthenticationFailed:
        failures.note(digest, address)
        raise


def _with_key(digest: bytes, uid: str) -> Enrolled:
    with transaction.atomic():
        key = _lock(digest)
        _count_use(key)
        try:
            # Of somebody who takes the uid at the same moment only the database knows.
            with conflicts(TAKEN):
                enrolled = _let_in(key, uid)
        except APIException as error:
            refusal = error
            key.save(update_fields=LOOKS)
        else:
            key.save(update_fields=[*LOOKS, "uses"])
            return enrolled
    # Not before the commit: what was refused counts as a use too.
    raise refusal


def _lock(digest: bytes) -> EnrolmentKey:
    keys = EnrolmentKey.objects.select_related("tenant")
    key = keys.select_for_update(of=["self"], no_key=True).filter(digest=digest).first()
    if key is None or state_of(key) in (KeyState.EXPIRED, KeyState.REVOKED):
        raise AuthenticationFailed(WRONG, "wrong_key")
    return key


def _count_use(key: EnrolmentKey) -> None:
    """Raises TooManyAttempts if the key was used too often within the window at hand."""
    now = timezone.now()
    if key.window_began_at is None or key.window_began_at + WINDOW <= now:
        key.window_began_at, key.window_uses = now, 0
    if key.window_uses >= USES_A_WINDOW:
        wait = key.window_began_at + WINDOW - now
        raise TooManyAttempts(BUSY, math.ceil(wait.total_seconds()))
    key.window_uses += 1


def _let_in(key: EnrolmentKey, uid: str) -> Enrolled:
    devices = Device.objects.select_for_update(no_key=True)
    device = devices.filter(device_uid=uid).first()
    is_new = device is None or _is_waiting_for(key, device)
    if is_new:
        _take_place(key)
    if device is None:
        device = _make(key, uid)
    elif not _may_come(device):
        raise PermissionDenied(SHUT_OUT, "shut_out")
    # Known by now, so that nobody reads it once more.
    device.tenant = key.tenant
    # A new one has spoken for nobody so far, which need not be looked up.
    (issued,) = issue([device], None, Terms(Origin.ENROLLED, gateway_for=() if is_new else None))
    if is_new:
        Enrolment.objects.create(device=device, key=key)
    else:
        Enrolment.objects.filter(device=device).update(last_at=Now(), count=F("count") + 1)
    return Enrolled(device, issued, is_new)


def _is_waiting_for(key: EnrolmentKey, device: Device) -> bool:
    """Whether it has been registered for the key to bring it; not if the key has brought it.

    Raises Conflict if the key is none for it: in the same words whatever the reason, unless the key
    has brought it, and it was deleted since.
    """
    enrolment = Enrolment.objects.filter(device=device).first()
    has_come = enrolment is not None and enrolment.key_id == key.pk
    if device.deleted_at:
        raise Conflict(DELETED if has_come else TAKEN)
    if device.tenant_id != key.tenant_id or (enrolment and not has_come):
        raise Conflict(TAKEN)
    if has_come:
        return False
    is_other_type = key.type_id and device.type_id and device.type_id != key.type_id
    # Whoever has one got in by another way, and is not to be put out by this one.
    if is_other_type or Credential.objects.filter(device=device).exists():
        raise Conflict(TAKEN)
    return True


def _may_come(device: Device) -> bool:
    """Whether nobody has shut it out: new credentials replace old ones, so the last tells.

    One that ended with its time is revoked at just that time (`devices/brokers/changes.py`).
    """
    last = Credential.objects.filter(device=device).order_by("-pk").first()
    is_revoked = last is not None and last.revoked_at not in (None, last.expires_at)
    return device.is_enabled and not is_revoked


def _take_place(key: EnrolmentKey) -> None:
    if key.uses >= key.quota:
        raise Conflict(USED_UP, "used_up")
    key.uses += 1


def _make(key: EnrolmentKey, uid: str) -> Device:
    return Device.objects.create(device_uid=uid, name=uid, tenant=key.tenant, type_id=key.type_id)
