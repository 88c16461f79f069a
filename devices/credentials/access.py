"""What a device may do at the broker now, in words, and what the broker does not know of it yet."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from devices.models import BrokerChange, Credential, Device
from devices.mqtt import rights, topics

OPEN = _("The broker admits everybody: MQTT__ACCESS is open, and nobody is asked for a credential.")
DISABLED = _("{uid} is disabled. It is admitted as soon as it is enabled.")
NO_CREDENTIAL = _("It has no credential in force. Give it a new one.")
TOLD_SOON = _("The broker is told within a moment. Until then it knows what was before.")


def topics_of(device: Device) -> dict[str, str]:
    """Kind → the device's own topic of that kind; there is no query if it knows its tenant."""
    tenant = device.tenant.slug
    return {kind: topics.build(tenant, device.device_uid, kind) for kind in topics.KINDS}


def notice_of(device: Device) -> str | None:
    """What whoever has a new credential for the device has to know, if there is anything."""
    if settings.MQTT_ACCESS == "open":
        return str(OPEN)
    if not device.is_enabled:
        return DISABLED.format(uid=device)
    if settings.MQTT_ACCESS == "mosquitto":
        return str(TOLD_SOON)
    return None


def access_of(device: Device) -> dict[str, Any]:
    """In the form that AccessSerializer describes."""
    newest = Credential.objects.filter(device=device).in_force().first()
    reason = reason_of(device, has_credential=newest is not None)
    return {
        "device_uid": device.device_uid,
        "username": device.device_uid,
        "client_id": device.device_uid,
        "is_admitted": reason in (None, OPEN),
        "reason": reason,
        "rights": [right._asdict() for right in rights.of_devices(_names(device, newest))],
        "broker": pending(device),
    }


def pending(device: Device) -> dict[str, Any]:
    """What the broker has still to be told about the device."""
    change = BrokerChange.objects.filter(device_uid=device.device_uid).defer("token").first()
    return {
        "pending": change is not None,
        "since": change and change.noted_at.isoformat(),
        "attempts": change.attempts if change else 0,
        "error": (change and change.error) or None,
    }


def reason_of(device: Device, *, has_credential: bool) -> str | None:
    """Why the device cannot connect, and what to do; or that everybody can.

    `has_credential`: one in force.
    """
    if settings.MQTT_ACCESS == "open":
        return str(OPEN)
    if not device.is_enabled:
        return DISABLED.format(uid=device)
    return None if has_credential else str(NO_CREDENTIAL)


def _names(device: Device, newest: Credential | None) -> list[tuple[str, str]]:
    """The (tenant, uid) that the device speaks for, its own first."""
    further = newest.gateway_for.filter(is_enabled=True) if newest else Device.objects.none()
    tenant = device.tenant.slug
    return [
        (tenant, uid) for uid in [device.device_uid, *further.values_list("device_uid", flat=True)]
    ]
