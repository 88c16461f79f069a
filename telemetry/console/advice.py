"""What a person can do about a rejected message, by its reason."""

from telemetry.reasons import Reason

MEND_DEVICE = "The device has to send something else; replaying this message changes nothing."
RAISE_LIMIT = "If such messages are wanted, raise the limit, restart the ingestor and replay."
ADVICE = {
    Reason.TOO_LARGE: f"The limit is the setting MAX_PAYLOAD. {RAISE_LIMIT}",
    Reason.NOT_UTF8: MEND_DEVICE,
    Reason.NUL: MEND_DEVICE,
    Reason.TOO_DEEP: MEND_DEVICE,
    Reason.TOO_MANY: "Let the device send its readings in several messages.",
    Reason.NOT_FINITE: "JSON has no NaN or Infinity: the device should leave such a value out.",
    Reason.NUMBER: MEND_DEVICE,
    Reason.BAD_MSG_ID: MEND_DEVICE,
    Reason.TOO_OLD: f"The limit is the setting HISTORY_DAYS. {RAISE_LIMIT}",
    Reason.MSG_ID_REUSED: (
        "The device used an id twice for different messages, often a counter that starts over. "
        "Let it put a boot number in front. Once the first message is older than DEDUPE_DAYS, "
        "replaying stores this one."
    ),
    Reason.BAD_STATUS: MEND_DEVICE,
    Reason.BAD_REPLY: MEND_DEVICE,
    Reason.UNKNOWN_COMMAND: (
        "The id in the reply is that of no command to this device: let the device send back the id "
        "that it got. There is nothing to replay."
    ),
    Reason.MALFORMED_TOPIC: "Let the device publish to tenant/devices/uid/telemetry.",
    Reason.MALFORMED_PACKET: "Look for a faulty MQTT library on the device.",
    Reason.UNKNOWN_TENANT: "Create the tenant, or correct the topic on the device, then replay.",
    Reason.UNKNOWN_DEVICE: "Create the device, then replay.",
    Reason.FOREIGN_DEVICE: (
        "The uid is taken by a device of another tenant: give this device another uid or topic."
    ),
    Reason.DEVICE_DISABLED: "Enable the device, then replay. A deleted device stays deleted.",
    Reason.DATABASE: "The detail says what PostgreSQL objects to. Once that is mended, replay.",
    Reason.ERROR: "A fault of the platform: report it with the ingestor's log, replay once mended.",
}
