"""The connection of a stream's client, as far as the web server gives it away."""

import select
import socket

SEND_SECONDS = 20.0
VANISHED_MILLISECONDS = 30_000
# Linux's. Elsewhere one that has gone is noticed when a second thing is sent to it, and one that
# vanished by TCP itself, after a quarter of an hour.
HAS_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class Client:
    """Gives its thread back when it takes nothing any more, vanished, or has simply gone.

    The idiom is left here: WSGI knows no connections and tells of none that ended, so gunicorn's
    own is asked for its socket. Another server has none to give, and is as if nobody ever left.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self._poll = select.poll()
        if connection:
            self._poll.register(connection, HAS_GONE)
            self._limit(connection)

    def _limit(self, connection: socket.socket) -> None:
        """After this answer gunicorn sets the first limit anew, and the second does no harm."""
        connection.settimeout(SEND_SECONDS)
        if USER_TIMEOUT and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, VANISHED_MILLISECONDS)

    def has_gone(self) -> bool:
        return bool(self._poll.poll(0))
