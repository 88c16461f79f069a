"""Gives devices credentials and takes them away: the one write behind every door.

In one transaction with the word to the broker (`BrokerChange`), so that neither is without the
other.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError

from accounts.conflicts import Conflict
from accounts.models import User
from accounts.words import number
from devices.credentials.tokens import digest_of, new_token
from devices.daemon.services import reserved
from devices.models import BrokerChange, Credential, CredentialQuerySet, Device, Origin

THROUGH: Any = Credential.gateway_for.through
AT_ONCE = timedelta(0)
LONGEST_OVERLAP = timedelta(days=30)
RESERVED = _("{uid} is a client id of the platform itself. Give the device another uid.")
ONE_TOKEN = _(
    "Mosquitto keeps one token a device: the old one ends as soon as there is a new one. Leave "
    "“overlap” out."
)
TOO_LONG = _("An old token lives on for {days} days at most.")
OTHER_TENANT = _("A gateway speaks for devices of its own tenant; these are none: {uids}.")
ITSELF = _("The device speaks for itself anyway. Leave it out.")
MOST_FURTHER = {"mosquitto": 500}
"""Devices that one gateway speaks for: with names of 128 characters each is 1.7 kB in the message
with its rights, which is all of 1 MiB that Mosquitto takes at once."""
MOST_FURTHER_ELSEWHERE = 5_000
TOO_MANY = _(
    "A gateway speaks for up to {most} devices, and these are {count}. Divide them between "
    "several gateways."
)
ENDED = _("This credential has ended. Make the device a new one, which may speak for others too.")


class Issued(NamedTuple):
    """A new credential with its token, which nobody can be shown again."""

    credential: Credential
    token: str


class Given(NamedTuple):
    """A token that a device has already, and until when it is good."""

    token: str
    expires_at: datetime | None = None


class Terms(NamedTuple):
    """What holds for new credentials.

    Those in force so far end after `overlap`. `gateway_for` are the further devices, None for those
    that the newest credential so far was for, whether or not it has ended.
    """

    origin: Origin = Origin.ISSUED
    expires_at: datetime | None = None
    overlap: timedelta = AT_ONCE
    gateway_for: Collection[Device] | None = None


ORDINARY = Terms()


@transaction.atomic
def issue(
    devices: Collection[Device],
    by: User | None,
    terms: Terms = ORDINARY,
    given: Mapping[int, Given] | None = None,
) -> list[Issued]:
    """A new credential for each device that nobody has deleted meanwhile.

    `given` are tokens by device, instead of new ones. Raises ValidationError, by field, if the
    terms or a device do not allow it.
    """
    _check(devices, terms)
    keys = {device.pk for device in devices}
    locked = _lock(keys | _new_to(keys, terms))
    owners = [each for each in locked if each.pk in keys and each.deleted_at is None]
    further = _further(owners, terms)
    former = _end_former(owners, terms.overlap)
    issued = [_made(device, by, terms, (given or {}).get(device.pk)) for device in owners]
    Credential.objects.bulk_create(each.credential for each in issued)
    _speak_for(issued, further)
    _tell_of_new(issued, former)
    return issued


def _lock(keys: Collection[int]) -> list[Device]:
    """The devices, which nobody can disable or delete now: who did has told their gateways.

    In one order, that of all who lock devices.
    """
    devices = Device.objects.filter(pk__in=keys).order_by("pk")
    return list(devices.select_for_update(no_key=True))


def _new_to(owners: Collection[int], terms: Terms) -> set[int]:
    """The further devices for which nobody who disables one would find a gateway to tell so far."""
    if terms.gateway_for is not None:
        return {each.pk for each in terms.gateway_for}
    ended = THROUGH.objects.filter(
        credential__in=_newest(owners), credential__revoked_at__isnull=False
    )
    return set(ended.values_list("device", flat=True))


def _made(device: Device, by: User | None, terms: Terms, given: Given | None) -> Issued:
    """A credential that is not written yet."""
    token, expires_at = given or Given(new_token(), terms.expires_at)
    credential = Credential(
        device=device,
        origin=terms.origin,
        created_by=by,
        digest=digest_of(token),
        expires_at=expires_at,
    )
    return Issued(credential, token)


@transaction.atomic
def revoke(credentials: CredentialQuerySet) -> int:
    """End credentials at once; returns how many had not ended already."""
    open_ones = credentials.filter(revoked_at__isnull=True).order_by("device_id", "pk")
    rows = list(open_ones.select_for_update(of=["self"]).values_list("pk", "device_id"))
    ended = Credential.objects.filter(pk__in=[pk for pk, _ in rows])
    ended.update(revoked_at=timezone.now())
    BrokerChange.objects.note({device for _, device in rows})
    return len(rows)


@transaction.atomic
def speak_for(credential: Credential, devices: Collection[Device]) -> bool:
    """Let a credential in force be for these further devices, and no longer for those so far.

    False if it is for just these already. Raises ValidationError as `issue` does, and Conflict if
    the credential has ended.
    """
    _check_further(credential.device, devices)
    # In the order of `issue`, which takes over what the newest is for.
    _lock({credential.device_id, *(each.pk for each in devices)})
    mine = Credential.objects.filter(pk=credential.pk, device__deleted_at__isnull=True).in_force()
    if not mine.select_for_update(of=["self"], no_key=True):
        raise Conflict(ENDED, "ended")
    if set(credential.gateway_for.values_list("pk", flat=True)) == {each.pk for each in devices}:
        return False
    credential.gateway_for.set(devices)
    BrokerChange.objects.note([credential.device_id])
    return True


def _check(devices: Collection[Device], terms: Terms) -> None:
    beginnings = reserved()
    for device in devices:
        if device.device_uid.startswith(beginnings):
            raise fault("device_uid", RESERVED.format(uid=device.device_uid), "reserved")
        _check_further(device, terms.gateway_for or ())
    if terms.overlap and settings.MQTT_ACCESS == "mosquitto":
        raise fault("overlap", ONE_TOKEN, "one_token")
    if terms.overlap > LONGEST_OVERLAP:
        raise fault("overlap", TOO_LONG.format(days=LONGEST_OVERLAP.days), "too_long")


def _check_further(device: Device, further: Collection[Device]) -> None:
    others = [each.device_uid for each in further if each.tenant_id != device.tenant_id]
    if others:
        raise fault("gateway_for", OTHER_TENANT.format(uids=", ".join(others)), "foreign")
    if device in further:
        raise fault("gateway_for", ITSELF, "itself")
    most = MOST_FURTHER.get(settings.MQTT_ACCESS, MOST_FURTHER_ELSEWHERE)
    if len(further) > most:
        said = TOO_MANY.format(most=number(most), count=number(len(further)))
        raise fault("gateway_for", said, "too_many")


def fault(field: str, said: str | Promise, code: str) -> ValidationError:
    return ValidationError({field: str(said)}, code)


def _further(owners: Collection[Device], terms: Terms) -> dict[int, list[int]]:
    """Device → the further devices that its new credential is for."""
    if terms.gateway_for is not None:
        return {owner.pk: [each.pk for each in terms.gateway_for] for owner in owners}
    links = THROUGH.objects.filter(credential__in=_newest([owner.pk for owner in owners]))
    further: dict[int, list[int]] = defaultdict(list)
    for owner, device in links.values_list("credential__device", "device"):
        further[owner].append(device)
    return further


def _newest(owners: Collection[int]) -> "QuerySet[Credential, Any]":
    """Of each device the newest credential, whether or not it has ended."""
    former = Credential.objects.filter(device__in=owners)
    return former.order_by("device_id", "-pk").distinct("device_id").values("pk")


def _end_former(owners: Collection[Device], overlap: timedelta) -> set[int]:
    """End what is in force so far; returns whose credentials ended at once."""
    now = timezone.now()
    former = Credential.objects.filter(device__in=owners, revoked_at__isnull=True)
    if overlap:
        later = Q(expires_at__isnull=True) | Q(expires_at__gt=now + overlap)
        former.filter(later).update(expires_at=now + overlap)
        return set()
    ended = set(former.values_list("device_id", flat=True))
    former.update(revoked_at=now)
    return ended


def _speak_for(issued: Collection[Issued], further: Mapping[int, list[int]]) -> None:
    THROUGH.objects.bulk_create(
        THROUGH(credential_id=each.credential.pk, device_id=device)
        for each in issued
        for device in further.get(each.credential.device_id, ())
    )


def _tell_of_new(issued: Collection[Issued], ended: set[int]) -> None:
    """Mosquitto has to know the token, EMQX that the session of the old one is over."""
    if settings.MQTT_ACCESS == "mosquitto":
        tokens = {each.credential.device_id: each.token for each in issued}
        BrokerChange.objects.note(tokens, tokens)
    else:
        BrokerChange.objects.note(ended)
