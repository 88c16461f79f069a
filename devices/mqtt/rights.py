"""Who may publish and subscribe to what, for any broker to enforce. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from devices.mqtt import topics


class Action(StrEnum):
    """What a right is for; to subscribe means to be sent what comes as well."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class Right(NamedTuple):
    """Leave for an action on the topics of a filter, whose `+` is a wildcard. What no right is
    for, is denied."""

    action: Action
    topic: str


OF_KIND = {
    "telemetry": Action.PUBLISH,
    "commands": Action.SUBSCRIBE,
    "replies": Action.PUBLISH,
    "status": Action.PUBLISH,
}
"""What a device may do with each kind of its own topics."""


def of_devices(names: Iterable[tuple[str, str]]) -> list[Right]:
    """What who speaks for these devices may do; each is a tenant and a uid."""
    return [
        Right(action, topics.build(tenant, uid, kind))
        for tenant, uid in names
        for kind, action in OF_KIND.items()
    ]


def of_ingestor(telemetry_filter: str) -> list[Right]:
    """What the ingestor may do: hear what devices publish."""
    return [
        Right(Action.SUBSCRIBE, topics.filter_for(telemetry_filter, kind))
        for kind, action in OF_KIND.items()
        if action is Action.PUBLISH
    ]


def of_dispatcher() -> list[Right]:
    """What the dispatcher may do: publish commands."""
    return [Right(Action.PUBLISH, "+/devices/+/commands")]
