"""Whom a command to many is for: the devices of a tenant that are named, or have labels, or all."""

from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError

from accounts.models import Tenant, User
from accounts.words import listed
from devices.models import Device, DeviceQuerySet

TOLD = 20
"""So many unknown uids are told; who mistyped more knows enough by then."""
UNKNOWN = _("There are no such devices in the tenant: {uids}. Correct them, or leave them out.")
NOBODY = {
    "device_uids": _("Name at least one device."),
    "labels": _("No device of the tenant has these labels. GET /devices?label=… shows which have."),
    "all": _("The tenant has no devices."),
}


def devices_of(tenant: Tenant, target: dict[str, Any], user: User) -> DeviceQuerySet:
    """Those that `target` means: {"device_uids": […]}, {"labels": {…}}, or {"all": true}."""
    devices = Device.objects.visible_to(user).filter(tenant=tenant)
    if "device_uids" in target:
        return devices.filter(device_uid__in=target["device_uids"])
    if "labels" in target:
        return devices.filter(labels__contains=target["labels"])
    return devices


def check_found(target: dict[str, Any], found: Collection[str]) -> None:
    """Raises unless there are devices, and among them all that were named; `found` are uids."""
    if unknown := [uid for uid in target.get("device_uids", ()) if uid not in found]:
        said = UNKNOWN.format(uids=listed(unknown, TOLD))
        raise ValidationError({"device_uids": said}, "unknown")
    if not found:
        (chosen_by,) = target
        raise ValidationError({chosen_by: NOBODY[chosen_by]}, "nobody")
