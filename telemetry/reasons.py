"""Why a message can never be stored. One word for machines, one sentence for people."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class Reason(models.TextChoices):
    """The reason of a `RejectedMessage`."""

    TOO_LARGE = "too_large", _("The message is larger than MAX_PAYLOAD.")
    NOT_UTF8 = "not_utf8", _("The text is not UTF-8.")
    NUL = "nul", _("The text contains a NUL character.")
    TOO_DEEP = "too_deep", _("Brackets are nested too deep.")
    TOO_MANY = "too_many", _("An array holds more readings than one message may.")
    NOT_FINITE = "not_finite", _("NaN and Infinity are not JSON.")
    NUMBER = "number", _("A number is too large, too small or too long.")
    BAD_MSG_ID = "bad_msg_id", _("msg_id must be a string of 1 to 64 characters or an integer.")
    TOO_OLD = "too_old", _("The time is further back than HISTORY_DAYS.")
    MSG_ID_REUSED = "msg_id_reused", _("Another message with this msg_id is already stored.")
    BAD_STATUS = "bad_status", _("The status is neither online nor offline.")
    BAD_REPLY = "bad_reply", _("The reply names no command, or no status there is.")
    UNKNOWN_COMMAND = "unknown_command", _("There is no such command to this device.")
    MALFORMED_TOPIC = "malformed_topic", _("The topic is not tenant/devices/uid/telemetry.")
    MALFORMED_PACKET = "malformed_packet", _("The MQTT packet cannot be read.")
    UNKNOWN_TENANT = "unknown_tenant", _("There is no such tenant.")
    UNKNOWN_DEVICE = "unknown_device", _("There is no such device.")
    FOREIGN_DEVICE = (
        "foreign_device",
        _("The device belongs to another tenant than the topic says."),
    )
    DEVICE_DISABLED = "device_disabled", _("The device is disabled or deleted.")
    DATABASE = "database", _("The database refuses this message.")
    ERROR = "error", _("The platform failed on this message; its log says how.")


SHORT: dict[str, Any] = {
    Reason.TOO_LARGE: _("too large"),
    Reason.NOT_UTF8: _("not UTF-8"),
    Reason.NUL: _("NUL"),
    Reason.TOO_DEEP: _("too deep"),
    Reason.TOO_MANY: _("too many"),
    Reason.NOT_FINITE: _("not finite"),
    Reason.NUMBER: _("number"),
    Reason.BAD_MSG_ID: _("bad msg_id"),
    Reason.TOO_OLD: _("too old"),
    Reason.MSG_ID_REUSED: _("msg_id reused"),
    Reason.BAD_STATUS: _("bad status"),
    Reason.BAD_REPLY: _("bad reply"),
    Reason.UNKNOWN_COMMAND: _("unknown command"),
    Reason.MALFORMED_TOPIC: _("malformed topic"),
    Reason.MALFORMED_PACKET: _("malformed packet"),
    Reason.UNKNOWN_TENANT: _("unknown tenant"),
    Reason.UNKNOWN_DEVICE: _("unknown device"),
    Reason.FOREIGN_DEVICE: _("foreign device"),
    Reason.DEVICE_DISABLED: _("device disabled"),
    Reason.DATABASE: _("database"),
    Reason.ERROR: _("error"),
}
"""In a word or two, for labels."""


class Rejected(Exception):
    """This message can never be stored; its bytes are kept as a `RejectedMessage`.

    `readings` is how many readings it stands for in the counters: the elements of an array, else 1.
    """

    def __init__(self, reason: Reason, detail: str = "", *, readings: int = 1) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.readings = readings
