"""Sentences that the ingestor writes into rows, for the console to translate.

They are written where they become true, in English; who changes one there changes it here.
"""

from django.utils.translation import gettext_noop as _

KEPT = (
    # Of sessions: telemetry/ingestor.py and decode.py
    _("The broker lost its sessions."),
    _("The status was cleared."),
    # Of rejected messages: telemetry/parse.py
    _("{size} bytes where {most} are allowed."),
    _("Byte {place} is not UTF-8."),
    _("Character {place} is NUL."),
    _("More than {most} brackets are open at once."),
    _("{text} is not JSON."),
    _("Written out, the numbers have more than {most} zeros."),
    _("{text} does not fit a double."),
    _("A string contains the character \\u0000."),
    _("A string contains half a surrogate pair."),
    # telemetry/decode.py
    _("{count} readings where {most} are allowed."),
    _("Element {place}: {fault}"),
    _("ts {time} is more than {days} days back."),
    _("msg_id is {text}… ({length} characters)."),
    _("msg_id is {text}."),
    _("state must be “online” or “offline”."),
    _("session must be a text of up to 128 characters."),
    _("A reply is an object of JSON with id and status."),
    _("status must be one of {names}."),
    _("id must be that of the command, a UUID as text."),
    # telemetry/ingest.py
    _("No command {id} was sent to this device."),
    _("A reply registers no device."),
    _("AUTO_REGISTER is off."),
    _("AUTO_REGISTER is off. A device has to enrol first: POST /enroll."),
    # devices/mqtt/topics.py
    _("{topic} is not {form} with 1 to 128 of A-Z a-z 0-9 _ . : - as names and a kind of {kinds}."),
)
