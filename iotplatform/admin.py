"""The console's frame: what its menu offers and what its home page says."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Max, Q
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from accounts.admin import moment, person
from accounts.changes import ChangeAdmin
from accounts.models import Change, Tenant
from devices.models import Device, Session
from telemetry.models import RejectedMessage

COUNTED = 1_000
"""Rejected messages are counted up to here: a broken device can send millions."""

FIRST = "my-first-device"
BY_MESSAGE = "There is no device yet. One appears here with its first message. In a terminal:"
BY_HAND = f"There is no device yet. Create the device “{FIRST}”, then, in a terminal:"
BY_TOKEN = (
    f"There is no device yet. Create the device “{FIRST}”, and choose “New credential” on its "
    "page; then, in a terminal, with the token instead of the dots:"
)
BY_KEY = (
    "There is no device yet. One appears here when it enrols. Make an enrolment key, then, in a "
    "terminal, with the key instead of the dots:"
)

MENU = [
    ("Fleet", [
        ("Devices", "sensors", "devices.view_device", "admin:devices_device_changelist"),
        ("Device types", "category", "devices.view_devicetype",
         "admin:devices_devicetype_changelist"),
        ("Alerts", "notifications", "devices.view_alert", "admin:devices_alert_changelist"),
        ("Alert rules", "rule", "devices.view_alertrule", "admin:devices_alertrule_changelist"),
        ("Commands", "terminal", "devices.view_command", "admin:devices_command_changelist"),
        ("Command batches", "playlist_add_check", "devices.view_commandbatch",
         "admin:devices_commandbatch_changelist"),
        ("Broker changes", "sync_problem", "devices.view_brokerchange",
         "admin:devices_brokerchange_changelist"),
        ("Rejected messages", "report", "telemetry.view_rejectedmessage",
         "admin:telemetry_rejectedmessage_changelist"),
    ]),
    ("Access", [
        ("Users", "person", "accounts.view_user", "admin:accounts_user_changelist"),
        ("Tenants", "apartment", "accounts.view_tenant", "admin:accounts_tenant_changelist"),
        ("Enrolment keys", "key", "devices.view_enrolmentkey",
         "admin:devices_enrolmentkey_changelist"),
        ("History", "history", "accounts.view_change", "admin:accounts_change_changelist"),
    ]),
]  # fmt: skip

admin.site.register(Change, ChangeAdmin)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, without what the user may not see."""
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    groups = [
        {
            "title": title,
            "items": [
                {"title": item, "icon": icon, "link": reverse(page)}
                for item, icon, permission, page in items
                if request.user.has_perm(permission)
            ],
        }
        for title, items in MENU
    ]
    return [{"items": [home]}, *groups]


def favicon(request: HttpRequest) -> str:
    return static("accounts/favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("accounts/console.css")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the home page shows: counts of what the user may see, or how to begin."""
    fleet = Device.objects.visible_to(person(request)).aggregate(
        devices=Count("pk"),
        online=Count("pk", filter=Q(state__session=Session.ONLINE)),
        heard=Max("state__last_seen_at"),
    )
    devices = reverse("admin:devices_device_changelist")
    cards = [
        {"title": "Devices", "value": fleet["devices"], "link": devices},
        {"title": "Online", "value": fleet["online"], "link": f"{devices}?session=online"},
        {"title": "Newest message", "value": moment(fleet["heard"]), "link": devices},
    ]
    if request.user.has_perm("telemetry.view_rejectedmessage"):
        cards.append(_rejected_card(request))
    begin = {} if fleet["devices"] else _beginning(request)
    return context | {"title": "Home", "cards": cards, **begin}


def _rejected_card(request: HttpRequest) -> dict[str, Any]:
    rejected = RejectedMessage.objects.visible_to(person(request)).open().order_by()
    count = rejected[:COUNTED].count()
    return {
        "title": "Rejected messages, open",
        "value": f"{count}+" if count == COUNTED else count,
        "link": reverse("admin:telemetry_rejectedmessage_changelist"),
    }


def _beginning(request: HttpRequest) -> dict[str, Any]:
    """How a first device comes."""
    if settings.ENROLMENT:
        title, how, command = "Enrol a first device", BY_KEY, first_enrolment(request)
    else:
        by_uid = BY_MESSAGE if settings.AUTO_REGISTER else BY_HAND
        how = by_uid if settings.MQTT_ACCESS == "open" else BY_TOKEN
        title, command = "Send a first message", first_message(request)
    return {"title_of_first": title, "how_to_begin": how, "first": command}


def first_message(request: HttpRequest) -> str:
    """A command that sends a first message to this platform."""
    tenant = Tenant.objects.visible_to(person(request)).first()
    topic = f"{tenant.slug if tenant else 't0'}/devices/{FIRST}/telemetry"
    who = "" if settings.MQTT_ACCESS == "open" else f"-u {FIRST} -i {FIRST} -P … "
    return (
        f"mosquitto_pub -h {settings.MQTT_HOST} -p {settings.MQTT_PORT} {who}-q 1 "
        f"-t {topic} -m '{{\"temperature\": 21.5}}'"
    )


def first_enrolment(request: HttpRequest) -> str:
    """A command by which a first device enrols."""
    body = f'{{"key": "…", "device_uid": "{FIRST}"}}'
    address = request.build_absolute_uri("/enroll")
    return f"curl {address} -H 'Content-Type: application/json' -d '{body}'"
