"""Keys that devices enrol with, as people make and revoke them over API and console."""

from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.admin.models import ADDITION, CHANGE
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.history import record
from accounts.models import User
from devices.credentials.tokens import digest_of, new_token
from devices.models import EnrolmentKey

IN_THE_PAST = _("Choose a time that is still to come. To end a key, revoke it.")
WAS_REVOKED = _("It was revoked, which cannot be undone; make a new one. Its name can be changed.")
FEWER_THAN_CAME = _("{uses} devices have enrolled with it. Choose at least as many.")


class KeyState(models.TextChoices):
    """What a key is good for. One that is used up still is for the devices that it brought."""

    USABLE = "usable", _("Usable")
    USED_UP = "used_up", _("Used up")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")


class Made(NamedTuple):
    """A new key with its `secret`, which nobody can be shown again."""

    key: EnrolmentKey
    secret: str


def state_of(key: EnrolmentKey, now: datetime | None = None) -> KeyState:
    if key.revoked_at:
        return KeyState.REVOKED
    if key.expires_at <= (now or timezone.now()):
        return KeyState.EXPIRED
    return KeyState.USED_UP if key.uses >= key.quota else KeyState.USABLE


def in_state(keys: models.QuerySet[EnrolmentKey], state: KeyState) -> models.QuerySet[EnrolmentKey]:
    """Those of which `state_of` says that."""
    if state is KeyState.REVOKED:
        return keys.filter(revoked_at__isnull=False)
    keys, now = keys.filter(revoked_at__isnull=True), timezone.now()
    if state is KeyState.EXPIRED:
        return keys.filter(expires_at__lte=now)
    is_used_up = models.Q(uses__gte=models.F("quota"))
    wanted = is_used_up if state is KeyState.USED_UP else ~is_used_up
    return keys.filter(wanted, expires_at__gt=now)


@transaction.atomic
def make(by: User, **fields: Any) -> Made:
    """A new key: its tenant, type, name, quota and end are `fields`."""
    secret = new_token()
    key = EnrolmentKey.objects.create(digest=digest_of(secret), created_by=by, **fields)
    record(by, ADDITION, key)
    return Made(key, secret)


@transaction.atomic
def revoke(key: EnrolmentKey, by: User) -> bool:
    """No device enrols with it from now on; those that have keep their credentials.

    Its type can then be deleted, as it is for nobody any more. False if somebody had revoked it
    before.
    """
    open_ones = EnrolmentKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
    if not open_ones.update(revoked_at=timezone.now(), type=None):
        return False
    record(by, CHANGE, key, ["revoked_at"])
    return True
