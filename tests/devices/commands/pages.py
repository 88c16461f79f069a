"""Where the console shows what, and commands as it shows them."""

from django.urls import reverse
from django.utils import timezone

COMMANDS = "/admin/devices/command/"
NOW = timezone.now()
SENT = {"status": "sent", "sent_at": NOW, "claimed_at": NOW}
FAILED = {**SENT, "status": "failed", "finished_at": NOW, "reply": "error"}
LATE = {**FAILED, "status": "expired", "is_late": True}


def page_of(command) -> str:
    return reverse("admin:devices_command_change", args=[command.pk])


def device_page(device) -> str:
    return reverse("admin:devices_device_change", args=[device.pk])
