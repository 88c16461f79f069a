"""Sentences that processes without a reader write into rows, for the console to translate.

They are written where they become true, in English; who changes one there changes it here.
"""

from django.utils.translation import gettext_noop as _

KEPT = (
    # devices/commands/dispatcher.py and statements.py
    _("No subscriber: the device is not connected to the broker."),
    _("The database took so long to hand it out that its time was over."),
    _("The broker did not answer in time; it may have the command."),
    _("The broker refused the command: {reason}."),
    _("It could not be published: {fault}"),
    _("Published again, as its device had not answered."),
    _("The broker had passed it on to nobody."),
    # devices/models/commands.py
    _("A late reply: {status}."),
    # devices/alerts
    _("It could not be sent: {fault}"),
    _("The host has no address."),
    # devices/brokers
    _("The broker cannot be reached; the log of the dispatcher says why. It is told once it can."),
    _("The broker does not know this device: issue a new token."),
    _(
        "The broker has an account of this name that is not of this platform. Delete it there, or "
        "give the device another uid."
    ),
    _("The broker did not say what it knows: {fault}."),
    _(
        "The broker did not answer. Has it got the plugin mosquitto_dynamic_security, or is it "
        "busy?"
    ),
    _(
        "The broker takes no orders from the account of the dispatcher. Have “manage.py "
        "sync_broker --file” write its file anew; see docs/mosquitto.md."
    ),
    _(
        "EMQX cannot be reached ({fault}). Is it running, and the listener of its dashboard, which "
        "has the API, at EMQX__API_URL?"
    ),
    _("EMQX gave no answer to {request} ({fault}). Is it overloaded, and is EMQX__API_URL right?"),
    _(
        "EMQX does not accept our key ({status}). EMQX__API_KEY and EMQX__API_SECRET have to be a "
        "line of its api_key.bootstrap_file; it reads that when it starts."
    ),
    _("EMQX said {fault} to {request}; its log says more."),
    _("What EMQX said to {request} is not what its API says. Is EMQX__API_URL right?"),
    _("EMQX answers too slowly to be told everything at once; the rest follows."),
)
