"""Credentials on the page of a device: which there are, and whether the broker knows."""

from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.admin import coloured, moment
from accounts.words import in_language
from devices.commands.console.shown import once
from devices.credentials.access import OPEN, reason_of
from devices.models import BrokerChange, Credential, Device

SHOWN = 10


def section(device: Device, *, may_change: bool) -> SafeString:
    """A table of the newest credentials; with links to change and to end them if that is allowed.

    And why the device cannot connect, if it cannot.
    """
    mine = Credential.objects.filter(device=device).select_related("created_by")
    newest = mine.prefetch_related("gateway_for")[: SHOWN + 1]
    found = once(device, "newest_credentials", newest)
    changes = BrokerChange.objects.filter(device_uid=device.device_uid).defer("token")
    reason = reason_of(device, has_credential=_is_provided(device, found))
    change = next(iter(once(device, "broker_changes", changes)), None)
    context = {
        "reason": reason,
        "is_out": reason not in (None, OPEN),
        "rows": [row_of(credential, may_change) for credential in found[:SHOWN]],
        "is_cut": len(found) > SHOWN,
        "change": change,
        "error": change and in_language(change.error),
        "new": reverse("admin:devices_device_credential", args=[device.pk]) if may_change else "",
    }
    return render_to_string("admin/devices/credential/section.html", context)


def _is_provided(device: Device, newest: list[Credential]) -> bool:
    """Whether the device has a credential in force."""
    now = timezone.now()
    if any(credential.is_in_force(now) for credential in newest):
        return True
    # Seldom: an old one that outlives many.
    return len(newest) > SHOWN and device.credentials.in_force().exists()


def row_of(credential: Credential, may_change: bool) -> dict[str, Any]:
    is_in_force = credential.is_in_force(timezone.now())
    args = [credential.device_id, credential.pk]
    links = ("gateway", "revoke") if may_change and is_in_force else ()
    return {
        "credential": credential,
        "state": state_of(credential),
        "further": [device.device_uid for device in credential.gateway_for.all()],
        "created": moment(credential.created_at),
        "used": moment(credential.last_used_at),
        "is_told": settings.MQTT_ACCESS == "emqx",
        "ended": credential.revoked_at and moment(credential.revoked_at),
        "ends": credential.expires_at and moment(credential.expires_at),
        **{link: reverse(f"admin:devices_credential_{link}", args=args) for link in links},
    }


def state_of(credential: Credential) -> SafeString:
    now = timezone.now()
    if credential.is_in_force(now):
        return coloured(gettext("In force"), "success")
    # One whose time ran out counts as revoked at that moment (devices/brokers/changes.py).
    end = credential.expires_at
    is_expired = end and end <= (credential.revoked_at or now)
    if is_expired:
        return coloured(gettext("Expired"), "warning")
    return coloured(gettext("Revoked"), "")
