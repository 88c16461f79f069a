"""How a first device comes: what the home page says while there is none."""

import json
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.admin import person
from accounts.models import Tenant

LONGEST_START = 100
MQTTS_PORT = "8883"
"""The registered port of MQTT over TLS; the platform itself may come by another one without."""
OWN_AUTHORITY = "certs/ca.pem"
"""Where deploy/certificates/make.sh puts it; docs/https.md has what to give with Let's Encrypt."""
READING = '{"temperature": 21.5}'


def beginning(request: HttpRequest) -> dict[str, Any]:
    """What to do, and a command for a terminal."""
    tenant = Tenant.objects.visible_to(person(request)).first()
    slug = tenant.slug if tenant else "t0"
    # No other tenant may have a device of this UID already.
    uid = f"{slug[:LONGEST_START]}-first-device"
    if settings.ENROLMENT:
        return {
            "title_of_first": _("Enrol a first device"),
            "how_to_begin": _(
                "There is no device yet. One appears here when it enrols. Make an enrolment key, "
                "then, in a terminal, with the key instead of the dots:"
            ),
            "first": first_enrolment(request, uid),
            "waiting": _("Waiting for the first device…"),
        }
    return {
        "title_of_first": _("Send a first message"),
        "how_to_begin": _how_to_send().format(device=uid),
        "first": first_message(request, slug, uid),
        "waiting": _("Waiting for the first message…"),
        "in_python": in_python(request, slug, uid),
        "program": _("“mosquitto_pub” comes with the package mosquitto-clients."),
    }


def _how_to_send() -> str:
    if settings.MQTT_ACCESS != "open":
        return _(
            "There is no device yet. Create the device “{device}”, and choose “New credential” on "
            "its page; then, in a terminal, with the token instead of the dots:"
        )
    if settings.AUTO_REGISTER:
        return _("There is no device yet. One appears here with its first message. In a terminal:")
    return _("There is no device yet. Create the device “{device}”, then, in a terminal:")


def first_message(request: HttpRequest, slug: str, uid: str) -> str:
    """A command that sends a first message to this platform."""
    host, port = _broker(request)
    who = "" if settings.MQTT_ACCESS == "open" else f"-u {uid} -i {uid} -P … "
    return (
        f"mosquitto_pub -h {host} -p {port} {_trusting(port)}{who}-q 1 "
        f"-t {_topic(slug, uid)} -m '{READING}'"
    )


def in_python(request: HttpRequest, slug: str, uid: str) -> str:
    """The same for a terminal with Python; nothing where it takes a certificate or a token."""
    host, port = _broker(request)
    if settings.MQTT_ACCESS != "open" or _trusting(port):
        return ""
    script = (
        "import paho.mqtt.client as mqtt; c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2); "
        f'c.connect("{host}", {port}); c.loop_start(); '
        f'c.publish("{_topic(slug, uid)}", {json.dumps(READING)}, qos=1).wait_for_publish(5)'
    )
    return f"python3 -c {quote(script)}"


def _broker(request: HttpRequest) -> tuple[str, str]:
    """Where devices reach the broker: host and port."""
    host, _colon, port = settings.MQTT_DEVICES.rpartition(":")
    return host or urlsplit(request.build_absolute_uri()).hostname or "", port


def _topic(slug: str, uid: str) -> str:
    return f"{slug}/devices/{uid}/telemetry"


def _trusting(port: str) -> str:
    """How the certificate is checked of whoever ends TLS for devices, the broker or a proxy."""
    ca = settings.MQTT_CA
    if settings.MQTT_TLS:
        return f"--cafile {quote(str(ca))} " if ca else "--tls-use-os-certs "
    return f"--cafile {OWN_AUTHORITY} " if port == MQTTS_PORT else ""


def first_enrolment(request: HttpRequest, uid: str) -> str:
    """A command by which a first device enrols."""
    body = f'{{"key": "…", "device_uid": "{uid}"}}'
    address = request.build_absolute_uri("/enroll")
    return f"curl {address} -H 'Content-Type: application/json' -d '{body}'"
