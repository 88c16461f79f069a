"""The broker as it is configured, for the platform's own sessions."""

import ssl
from typing import Any

from django.conf import settings


def session_options() -> dict[str, Any]:
    """What every `devices.mqtt.session.Session` of the platform is made with."""
    return {
        "host": settings.MQTT_HOST,
        "port": settings.MQTT_PLATFORM_PORT,
        "username": settings.MQTT_USERNAME or None,
        "password": settings.MQTT_PASSWORD or None,
        "tls": _tls_context(),
    }


def _tls_context() -> ssl.SSLContext | None:
    return (
        ssl.create_default_context(cafile=settings.MQTT_CA or None) if settings.MQTT_TLS else None
    )
