"""Questions to the database that are answered in seconds or not at all, whatever it is doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

CONNECT_SECONDS = 2
LIMITS = """
SET statement_timeout = '1s';
SET lock_timeout = '1s';
SET default_transaction_read_only = on
"""


@contextmanager
def asking() -> Iterator[psycopg.Cursor[Any]]:
    """A cursor for some questions. Raises psycopg's errors.

    Of a connection of its own: only that of a new one says in time that a server does not answer,
    as nobody but the server itself puts a limit to a statement.
    """
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory")
    parameters["connect_timeout"] = CONNECT_SECONDS
    with psycopg.connect(**parameters, autocommit=True) as own, own.cursor() as cursor:
        cursor.execute(LIMITS)
        yield cursor
