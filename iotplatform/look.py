"""How Unfold, on which the console is built, is to look here."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "IoT platform",
    "SITE_HEADER": "IoT platform",
    "SITE_SYMBOL": "sensors",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "iotplatform.admin.favicon"}
    ],
    "STYLES": ["iotplatform.admin.stylesheet"],
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "iotplatform.admin.dashboard",
    "SIDEBAR": {"navigation": "iotplatform.admin.navigation"},
}
