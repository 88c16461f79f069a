"""The broker as it is configured, for the platform's own sessions."""

import ssl
from typing import Any

from django.conf import settings

from devices.daemon.services import Service


def session_options(service: Service) -> dict[str, Any]:
    """What the `devices.mqtt.session.Session` of a service is made with, but for its client id.

    A broker with accounts of its own may have one for all of the platform: MQTT__USERNAME.
    """
    own = (service.username, service.password) if service.password else None
    username, password = own or (settings.MQTT_USERNAME, settings.MQTT_PASSWORD)
    return {
        "host": settings.MQTT_HOST,
        "port": settings.MQTT_PLATFORM_PORT,
        "username": username or None,
        "password": password or None,
        "tls": _tls_context(),
    }


def _tls_context() -> ssl.SSLContext | None:
    return (
        ssl.create_default_context(cafile=settings.MQTT_CA or None) if settings.MQTT_TLS else None
    )
