"""Questions to the database that are answered in seconds or not at all, whatever it is doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

CONNECT_SECONDS = 2
LIMITS = "SET LOCAL statement_timeout = '1s'; SET LOCAL lock_timeout = '1s'"


@contextmanager
def connected() -> Iterator[psycopg.Connection[Any]]:
    """A connection to ask by. Raises psycopg's errors.

    One of its own: only a new one says in time that a server does not answer, as nobody but the
    server itself puts a limit to a statement.
    """
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory")
    parameters["connect_timeout"] = CONNECT_SECONDS
    with psycopg.connect(**parameters, autocommit=True) as own:
        # Of each transaction: by BEGIN READ ONLY.
        own.read_only = True
        yield own


@contextmanager
def asking(own: psycopg.Connection[Any]) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor for questions that are answered together, or none of them is.

    Its limits end with its transaction. What is set for a whole connection would stay behind in a
    pool (PgBouncer), and whoever comes next could not write.
    """
    with own.transaction(), own.cursor() as cursor:
        cursor.execute(LIMITS)
        yield cursor
