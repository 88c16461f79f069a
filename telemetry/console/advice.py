"""What a person can do about a rejected message, by its reason."""

from django.utils.translation import gettext_lazy as _

from telemetry.reasons import Reason

MEND_DEVICE = _("The device has to send something else; replaying this message changes nothing.")
REPLAYED_IN_VAIN = frozenset(
    [
        Reason.NOT_UTF8, Reason.NUL, Reason.TOO_DEEP, Reason.TOO_MANY, Reason.NOT_FINITE,
        Reason.NUMBER, Reason.BAD_MSG_ID, Reason.BAD_STATUS, Reason.BAD_REPLY,
        Reason.UNKNOWN_COMMAND, Reason.MALFORMED_TOPIC, Reason.MALFORMED_PACKET,
    ]
)  # fmt: skip
"""What is wrong is in the message itself, and stays in it."""
ADVICE = {
    Reason.TOO_LARGE: _(
        "The limit is the setting MAX_PAYLOAD. If such messages are wanted, raise the limit, "
        "restart the ingestor and replay."
    ),
    Reason.NOT_UTF8: MEND_DEVICE,
    Reason.NUL: MEND_DEVICE,
    Reason.TOO_DEEP: MEND_DEVICE,
    Reason.TOO_MANY: _("Let the device send its readings in several messages."),
    Reason.NOT_FINITE: _("JSON has no NaN or Infinity: the device should leave such a value out."),
    Reason.NUMBER: MEND_DEVICE,
    Reason.BAD_MSG_ID: MEND_DEVICE,
    Reason.TOO_OLD: _(
        "The limit is the setting HISTORY_DAYS. If such messages are wanted, raise the limit, "
        "restart the ingestor and replay."
    ),
    Reason.MSG_ID_REUSED: _(
        "The device used an id twice for different messages, often a counter that starts over. "
        "Let it put a boot number in front. Once the first message is older than DEDUPE_DAYS, "
        "replaying stores this one."
    ),
    Reason.BAD_STATUS: MEND_DEVICE,
    Reason.BAD_REPLY: MEND_DEVICE,
    Reason.UNKNOWN_COMMAND: _(
        "The id in the reply is that of no command to this device: let the device send back the id "
        "that it got. There is nothing to replay."
    ),
    Reason.MALFORMED_TOPIC: _("Let the device publish to tenant/devices/uid/telemetry."),
    Reason.MALFORMED_PACKET: _("Look for a faulty MQTT library on the device."),
    Reason.UNKNOWN_TENANT: _("Create the tenant, or correct the topic on the device, then replay."),
    Reason.UNKNOWN_DEVICE: _("Create the device, then replay."),
    Reason.FOREIGN_DEVICE: _(
        "The uid is taken by a device of another tenant: give this device another uid or topic."
    ),
    Reason.DEVICE_DISABLED: _("Enable the device, then replay. A deleted device stays deleted."),
    Reason.DATABASE: _("The detail says what PostgreSQL objects to. Once that is mended, replay."),
    Reason.ERROR: _(
        "A fault of the platform: report it with the ingestor's log, replay once mended."
    ),
}
