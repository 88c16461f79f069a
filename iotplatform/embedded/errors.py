"""What goes wrong with an embedded server."""


class EmbeddedServerError(Exception):
    """The embedded server cannot be used; the message says what to do instead."""
