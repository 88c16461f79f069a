"""How a device sends its first message, in a terminal."""

from django.conf import settings

from devices.models import Device
from devices.mqtt.topics import build


def first_message(device: Device) -> str:
    """A command that sends a first message for `device`."""
    uid = device.device_uid
    topic = build(device.tenant.slug, uid, "telemetry")
    who = "" if settings.MQTT_ACCESS == "open" else f"-u {uid} -i {uid} -P … "
    return (
        f"mosquitto_pub -h {settings.MQTT_HOST} -p {settings.MQTT_PORT} {who}-q 1 "
        f"-t {topic} -m '{{\"temperature\": 21.5}}'"
    )
