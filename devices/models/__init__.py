"""Devices, what is known about each of them right now, the commands they were sent, and what they
prove themselves with."""

from devices.models.broker import BrokerChange, BrokerChangeQuerySet
from devices.models.commands import (
    ENDED,
    OUTCOME,
    UNHEARD,
    Command,
    CommandBatch,
    CommandBatchQuerySet,
    CommandQuerySet,
    CommandStatus,
    CommandTransition,
    DeviceQueue,
    ReplyStatus,
)
from devices.models.credentials import (
    Credential,
    CredentialQuerySet,
    Enrolment,
    EnrolmentKey,
    EnrolmentKeyQuerySet,
    Origin,
)
from devices.models.devices import (
    NEVER,
    TAKEN,
    TYPE_TAKEN,
    VISIBLE_DEVICE,
    Device,
    DeviceQuerySet,
    DeviceState,
    DeviceType,
    KnownDevice,
    Session,
    visibility,
)
from devices.models.processes import Heartbeat, ProcessKind

__all__ = [
    "ENDED",
    "NEVER",
    "OUTCOME",
    "TAKEN",
    "TYPE_TAKEN",
    "UNHEARD",
    "VISIBLE_DEVICE",
    "BrokerChange",
    "BrokerChangeQuerySet",
    "Command",
    "CommandBatch",
    "CommandBatchQuerySet",
    "CommandQuerySet",
    "CommandStatus",
    "CommandTransition",
    "Credential",
    "CredentialQuerySet",
    "Device",
    "DeviceQuerySet",
    "DeviceQueue",
    "DeviceState",
    "DeviceType",
    "Enrolment",
    "EnrolmentKey",
    "EnrolmentKeyQuerySet",
    "Heartbeat",
    "KnownDevice",
    "Origin",
    "ProcessKind",
    "ReplyStatus",
    "Session",
    "visibility",
]
