"""A connection is used again unless the server's end of it is gone, without asking the server."""

import psycopg
import pytest
from django.db import connection, connections
from django.db.utils import OperationalError

CONTEXTLESS = {"context": None, "cursor_factory": psycopg.Cursor}


@pytest.fixture
def used(transactional_db):
    """The connection of this thread as a request leaves it: open, to be looked at next time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    connection.health_check_enabled = True
    connection.health_check_done = False
    return pid


def pid_of_next_use():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def end(pid):
    """Ends a server process and waits until it is gone."""
    with psycopg.connect(**connections["default"].get_connection_params() | CONTEXTLESS) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_is_used_again_without_a_question(used, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert pid_of_next_use() == used


def test_a_connection_whose_server_ended_is_replaced(used):
    end(used)
    assert pid_of_next_use() != used


def test_a_connection_that_is_closed_at_our_end_is_replaced(used):
    connection.connection.close()
    assert pid_of_next_use() != used


def test_after_an_error_the_server_is_asked(used, monkeypatch):
    asked = []
    usable = "django.db.backends.postgresql.base.DatabaseWrapper.is_usable"
    monkeypatch.setattr(usable, lambda self: bool(asked.append(self)))
    connection.errors_occurred = True
    assert pid_of_next_use() != used
    assert asked


def test_a_notice_that_waits_to_be_read_is_no_end(used):
    with psycopg.connect(**connections["default"].get_connection_params() | CONTEXTLESS) as other:
        pid_of_next_use()
        connection.connection.execute("LISTEN somewhere")
        connection.health_check_done = False
        other.execute("NOTIFY somewhere")
    assert pid_of_next_use() == used


def test_within_a_request_the_server_may_still_go(used):
    assert pid_of_next_use() == used
    end(used)
    with pytest.raises(OperationalError):
        pid_of_next_use()
    connection.close()
