"""The platform's own accounts at the broker: who they are there, and what they may do."""

from typing import NamedTuple

from django.conf import settings

from devices.mqtt import rights
from devices.mqtt.rights import Right


class Service(NamedTuple):
    """An account of the platform's own.

    No device has its `username`, for uids have no “@”. Its client ids begin with `client_id`.
    Without a `password` there is no such account.
    """

    username: str
    password: str
    client_id: str
    rights: list[Right]


def ingestor() -> Service:
    """The account of `run_ingestor`, which hears what devices publish."""
    return Service(
        "ingestor@platform",
        settings.MQTT_INGEST_PASSWORD,
        f"{settings.MQTT_CLIENT_ID}-ingest",
        rights.of_ingestor(settings.MQTT_TOPIC),
    )


def dispatcher() -> Service:
    """The account of `run_dispatcher`, which publishes commands."""
    return Service(
        "dispatcher@platform",
        settings.MQTT_DISPATCH_PASSWORD,
        f"{settings.MQTT_CLIENT_ID}-dispatch",
        rights.of_dispatcher(),
    )


def services() -> list[Service]:
    return [ingestor(), dispatcher()]


def reserved() -> tuple[str, ...]:
    """What no uid of a device with a credential begins with; `is_reserved` says why."""
    return tuple(service.client_id for service in services())


def is_reserved(uid: str) -> bool:
    """Whether a device that connected as `uid` would put one of our own off the broker.

    A broker ends the session of whoever has the client id of a newcomer.
    """
    return uid.startswith(reserved())
