"""Open alerts on the page of a device."""

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from accounts.admin import moment
from devices.alerts.console.shown import condition_label, lasted
from devices.commands.console.shown import once, page_of
from devices.models import Alert, Device


def section(device: Device) -> SafeString:
    """The open alerts of a device, each with a link to its page; nothing if there are none.

    One statement, by the index of alerts by device.
    """
    alerts = Alert.objects.filter(device=device).open().select_related("rule").order_by("-id")
    rows = [
        {
            "alert": alert,
            "condition": condition_label(alert),
            "lasted": lasted(alert),
            "since": moment(alert.since),
            "page": page_of(alert),
        }
        for alert in once(device, "open_alerts", alerts)
    ]
    every = f"{reverse('admin:devices_alert_changelist')}?device__id__exact={device.pk}"
    return render_to_string("admin/devices/alert/section.html", {"rows": rows, "every": every})
