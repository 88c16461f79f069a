"""The grammar of topics: `{tenant}/devices/{uid}/{kind}`. Pure."""

import re
from typing import NamedTuple

NAME = r"[A-Za-z0-9_.:-]{1,128}"
KINDS = ("telemetry", "commands", "replies", "status")

_NAME = re.compile(NAME)
_TOPIC = re.compile(rf"({NAME})/devices/({NAME})/({'|'.join(KINDS)})")


class TopicError(ValueError):
    """A topic or filter outside the grammar; the message says what is wrong with it."""


class Topic(NamedTuple):
    """One topic of one device; `str()` gives it as MQTT wants it."""

    tenant: str
    uid: str
    kind: str

    def __str__(self) -> str:
        return f"{self.tenant}/devices/{self.uid}/{self.kind}"


def is_name(text: str) -> bool:
    """Whether a tenant or a device can be called so."""
    return _NAME.fullmatch(text) is not None


def build(tenant: str, uid: str, kind: str) -> str:
    """The topic of these parts, each of them checked."""
    _check_name("tenant", tenant)
    _check_name("device uid", uid)
    if kind not in KINDS:
        raise TopicError(f"{kind!r} is no kind of topic; there are {', '.join(KINDS)}.")
    return str(Topic(tenant, uid, kind))


def parse(topic: str) -> Topic:
    """The parts of a topic that a message came on."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise TopicError(
            f"{topic!r} is not {{tenant}}/devices/{{uid}}/{{kind}} with 1 to 128 of "
            f"A-Z a-z 0-9 _ . : - as names and a kind of {', '.join(KINDS)}."
        )
    return Topic(*match.groups())


def filter_for(telemetry_filter: str, kind: str) -> str:
    """The filter of another kind of topic for the devices that `telemetry_filter` covers."""
    return f"{telemetry_filter.rpartition('/')[0]}/{kind}"


def check_filter(telemetry_filter: str) -> None:
    """Raises TopicError unless the filter covers telemetry topics of the grammar alone."""
    levels = telemetry_filter.split("/")
    if len(levels) != 4 or levels[1] != "devices" or levels[3] != "telemetry":
        raise TopicError(
            f"{telemetry_filter!r} must have the form {{tenant}}/devices/{{uid}}/telemetry, "
            "with + for any tenant or any device, as in +/devices/+/telemetry."
        )
    for what, level in (("tenant", levels[0]), ("device uid", levels[2])):
        if level != "+":
            _check_name(what, level)


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TopicError(
            f"{name!r} cannot be a {what} in a topic; use 1 to 128 of A-Z a-z 0-9 _ . : -"
        )
