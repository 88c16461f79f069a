"""The database engine of the settings; Django finds it by this module's name."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Notices with CONN_HEALTH_CHECKS that the server has gone, as its end of the socket closed."""

    def is_usable(self) -> bool:
        # Optimization: Django's own check, “SELECT 1”, is a third of all statements of the API. A
        # server that ended has said so already; one that vanished is noticed by tcp_user_timeout.
        if self.errors_occurred or self._has_something_to_read():
            return bool(super().is_usable())
        return True

    def _has_something_to_read(self) -> bool:
        """Also True of a connection that is closed at our end."""
        if self.connection.closed:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
