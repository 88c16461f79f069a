"""How Unfold, on which the console is built, is to look here."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "IoT platform",
    "SITE_HEADER": "IoT platform",
    "SITE_SYMBOL": "sensors",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "iotplatform.admin.favicon"}
    ],
    # Where Unfold's own have less contrast than 4.5:1: links on a dark ground, and small print.
    "COLORS": {
        "primary": {"500": "oklch(68% .235 304.5)"},
        "font": {"subtle-light": "oklch(50% .03 264)"},
    },
    "STYLES": ["iotplatform.admin.fonts", "iotplatform.admin.stylesheet"],
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "iotplatform.home.dashboard",
    "SIDEBAR": {"navigation": "iotplatform.admin.navigation"},
}
