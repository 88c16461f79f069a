"""The devices of the table, with credentials, and the passwords of the platform's services."""

from types import SimpleNamespace
from typing import Any

from devices.models import Device
from tests import cast as people
from tests.devices.brokers.matrix import TENANTS

SERVICES = {
    "ingestor@platform": "the ingestor's password ...........",
    "dispatcher@platform": "the dispatcher's password .........",
}


def configure(settings: Any, access: str) -> None:
    settings.MQTT_ACCESS = access
    settings.MQTT_INGEST_PASSWORD = SERVICES["ingestor@platform"]
    settings.MQTT_DISPATCH_PASSWORD = SERVICES["dispatcher@platform"]


def tokens(cast: SimpleNamespace) -> dict[str, str]:
    """User name → token or password, of everybody; `off-01` is disabled after it got one."""
    devices = {
        uid: Device.objects.filter(device_uid=uid).first()
        or people.device(uid, getattr(cast, tenant))
        for uid, tenant in TENANTS.items()
    }
    sensor = devices["sensor-01"]
    made = {
        uid: people.token(device, gateway_for=[sensor] if uid == "gw-01" else None)
        for uid, device in devices.items()
    }
    Device.objects.filter(device_uid="off-01").update(is_enabled=False)
    return made | SERVICES
