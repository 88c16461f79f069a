"""Who reaches which topics: the table that every broker has to keep to, as data.

Kept apart from the product's own rules (`devices/mqtt/rights.py`), which it judges.
"""

from collections.abc import Iterator
from typing import NamedTuple

from paho.mqtt.client import topic_matches_sub

KINDS = ("telemetry", "commands", "replies", "status")
SAYS = ("telemetry", "replies", "status")
HEARS = ("commands",)
TENANTS = {
    "dev-01": "t0",
    "dev-02": "t0",
    "gw-01": "t0",
    "sensor-01": "t0",
    "off-01": "t0",
    "foreign-01": "other",
}


class Actor(NamedTuple):
    """Somebody at the broker's door, and what they may reach once they are in.

    `publishes` and `hears` are uid → kinds; `filters` are subscriptions, besides those of single
    topics, that have to be granted. Whoever may nothing is not let in at all. What tells Mosquitto
    of accounts goes over a topic of its own.
    """

    uid: str
    publishes: dict[str, tuple[str, ...]] = {}
    hears: dict[str, tuple[str, ...]] = {}
    filters: tuple[str, ...] = ()
    controls_mosquitto: bool = False

    @property
    def is_let_in(self) -> bool:
        return bool(self.publishes or self.hears)


EVERYBODY = dict.fromkeys(TENANTS, SAYS)
ACTORS = {
    "device": Actor("dev-01", {"dev-01": SAYS}, {"dev-01": HEARS}),
    "gateway": Actor(
        "gw-01", {"gw-01": SAYS, "sensor-01": SAYS}, {"gw-01": HEARS, "sensor-01": HEARS}
    ),
    "disabled device": Actor("off-01"),
    "ingestor": Actor(
        "iotplatform-ingest", {}, EVERYBODY, tuple(f"+/devices/+/{kind}" for kind in SAYS)
    ),
    "dispatcher": Actor(
        "iotplatform-dispatch-7f", dict.fromkeys(TENANTS, HEARS), controls_mosquitto=True
    ),
    "anonymous": Actor("dev-01"),
    "wrong secret": Actor("dev-01"),
    "another's secret": Actor("dev-02"),
}

CONTROL = "$CONTROL/dynamic-security/v1"
ODD_TOPICS = (
    "dev-01",
    "t0/devices/dev-01",
    "t0/devices/dev-01/",
    "t0/devices/dev-01/other",
    "t0/devices/dev-01/telemetry/more",
    "/t0/devices/dev-01/telemetry",
    "T0/devices/dev-01/telemetry",
    "t0/devices/DEV-01/telemetry",
    "other/devices/dev-01/telemetry",
    "$SYS/broker/uptime",
    "$SYS/t0/devices/dev-01/telemetry",
    "$share/g/t0/devices/dev-01/telemetry",
    "$queue/t0/devices/dev-01/telemetry",
    "$delayed/1/t0/devices/dev-01/telemetry",
    CONTROL,
    f"{CONTROL}/response",
)
"""What is published to them reaches nobody; what the dispatcher says to Mosquitto nobody hears."""

ODD_FILTERS = (
    "#",
    "+",
    "+/#",
    "+/+/+/+",
    "/#",
    "t0/#",
    "t0/devices/#",
    "t0/devices/+/#",
    "t0/+/dev-01/commands",
    "+/devices/+/commands",
    "t0/devices/+/commands",
    "t0/devices/+/telemetry",
    "+/devices/dev-01/commands",
    "t0/devices/dev-01/+",
    "t0/devices/dev-01/#",
    "t0/devices/dev-01/commands/#",
    "other/devices/foreign-01/#",
    "$share/g/#",
    "$share/g/+/devices/+/telemetry",
    "$share/g/+/devices/+/commands",
    "$share/g/t0/devices/dev-02/commands",
    "$queue/+/devices/+/commands",
    "$SYS/#",
    "$SYS/broker/#",
    "$CONTROL/#",
    f"{CONTROL}/#",
)


def topic(uid: str, kind: str) -> str:
    return f"{TENANTS[uid]}/devices/{uid}/{kind}"


TOPICS = [topic(uid, kind) for uid in TENANTS for kind in KINDS]
FILTERS = [*TOPICS, *(f"+/devices/+/{kind}" for kind in SAYS), *ODD_FILTERS]


def may_publish(actor: Actor, to: str) -> bool:
    return to in set(_topics(actor.publishes))


def may_hear(actor: Actor) -> set[str]:
    """The topics whose messages may be delivered to it."""
    return set(_topics(actor.hears))


def must_hear(actor: Actor, topic_filter: str) -> set[str]:
    """The topics whose messages have to be delivered for this subscription."""
    is_granted = topic_filter in actor.filters or (
        not actor.filters and topic_filter in may_hear(actor)
    )
    return covered_by(topic_filter) if is_granted else set()


def covered_by(topic_filter: str) -> set[str]:
    return {each for each in TOPICS if topic_matches_sub(topic_filter, each)}


def _topics(reach: dict[str, tuple[str, ...]]) -> Iterator[str]:
    return (topic(uid, kind) for uid, kinds in reach.items() for kind in kinds)
