"""The console's frame: what its menu offers, its icon and its style."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.changes import ChangeAdmin
from accounts.models import Change

MENU = [
    (_("Fleet"), [
        (_("Devices"), "sensors", "devices.view_device", "admin:devices_device_changelist"),
        (_("Device types"), "category", "devices.view_devicetype",
         "admin:devices_devicetype_changelist"),
        (_("Alerts"), "notifications", "devices.view_alert", "admin:devices_alert_changelist"),
        (_("Alert rules"), "rule", "devices.view_alertrule", "admin:devices_alertrule_changelist"),
        (_("Commands"), "terminal", "devices.view_command", "admin:devices_command_changelist"),
        (_("Command batches"), "playlist_add_check", "devices.view_commandbatch",
         "admin:devices_commandbatch_changelist"),
        (_("Broker changes"), "sync_problem", "devices.view_brokerchange",
         "admin:devices_brokerchange_changelist"),
        (_("Rejected messages"), "report", "telemetry.view_rejectedmessage",
         "admin:telemetry_rejectedmessage_changelist"),
    ]),
    (_("Access"), [
        (_("Users"), "person", "accounts.view_user", "admin:accounts_user_changelist"),
        (_("Tenants"), "apartment", "accounts.view_tenant", "admin:accounts_tenant_changelist"),
        (_("Enrolment keys"), "key", "devices.view_enrolmentkey",
         "admin:devices_enrolmentkey_changelist"),
        (_("History"), "history", "accounts.view_change", "admin:accounts_change_changelist"),
    ]),
]  # fmt: skip

admin.site.register(Change, ChangeAdmin)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, without what the user may not see."""
    home = {"title": gettext("Home"), "icon": "home", "link": reverse("admin:index")}
    groups = [
        {
            "title": str(title),
            "items": [
                {"title": str(item), "icon": icon, "link": reverse(page)}
                for item, icon, permission, page in items
                if request.user.has_perm(permission)
            ],
        }
        for title, items in MENU
    ]
    return [{"items": [home]}, *groups]


def favicon(request: HttpRequest) -> str:
    return static("accounts/favicon.svg")


def fonts(request: HttpRequest) -> str:
    return static("accounts/fonts.css")


def stylesheet(request: HttpRequest) -> str:
    return static("accounts/console.css")
