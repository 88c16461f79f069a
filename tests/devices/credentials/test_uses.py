"""Last uses: kept in memory, written together, and tried again when the database was away."""

import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from devices.credentials import uses as module
from devices.credentials.issuing import issue
from devices.credentials.uses import Uses, write
from devices.models import Credential

AN_HOUR = timedelta(hours=1)


@pytest.fixture
def uses() -> Iterator[Uses]:
    """Uses whose thread does nothing by itself."""
    made = Uses(every=3600)
    yield made
    made.begin()


@pytest.fixture
def credentials(cast: SimpleNamespace) -> list[Credential]:
    return [issued.credential for issued in issue([cast.device, cast.foreign], None)]


def last(credential: Credential) -> datetime | None:
    return Credential.objects.get(pk=credential.pk).last_used_at


def test_to_note_a_use_asks_nothing_of_the_database(uses, credentials, django_assert_num_queries):
    with django_assert_num_queries(0):
        for credential in credentials:
            uses.note(credential.pk)
    assert last(credentials[0]) is None


def test_all_that_was_noted_is_one_statement(uses, credentials, django_assert_num_queries):
    before = timezone.now()
    for credential in [*credentials, *credentials]:
        uses.note(credential.pk)
    with django_assert_num_queries(1):
        uses.write()
    assert all(before <= last(credential) <= timezone.now() for credential in credentials)
    with django_assert_num_queries(0):
        uses.write()


def test_the_last_use_only_moves_forward(credentials):
    now = timezone.now()
    credential = credentials[0]
    write({credential.pk: now})
    write({credential.pk: now - AN_HOUR})
    assert last(credential) == now
    write({credential.pk: now + AN_HOUR})
    assert last(credential) == now + AN_HOUR


def test_a_credential_that_is_gone_does_not_hold_up_the_others(uses, credentials):
    gone, other = credentials
    for credential in credentials:
        uses.note(credential.pk)
    gone.delete()
    uses.write()
    assert last(other) is not None


def test_what_could_not_be_written_is_written_the_next_time(uses, credentials, monkeypatch, caplog):
    def fail(_: object) -> None:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write", fail)
        uses.note(credentials[0].pk)
        uses.write()
    assert "written later" in caplog.text
    uses.note(credentials[1].pk)
    uses.write()
    assert None not in {last(credential) for credential in credentials}


def test_a_newer_use_is_not_overwritten_by_one_that_failed(uses, credentials, monkeypatch):
    pk = credentials[0].pk

    def fail(_: object) -> None:
        uses.note(pk)
        raise OperationalError

    uses.note(pk)
    first = uses._times[pk]
    monkeypatch.setattr(module, "write", fail)
    uses.write()
    assert uses._times[pk] > first


@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_has_locked_is_not_waited_for(cast):
    mine, locked = (issued.credential for issued in issue([cast.device, cast.foreign], None))
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory")
    with psycopg.connect(**parameters) as other:
        other.execute("SELECT FROM devices_credential WHERE id = %s FOR UPDATE", [locked.pk])
        write({mine.pk: timezone.now(), locked.pk: timezone.now()})
    assert last(mine) is not None
    assert last(locked) is None


def test_a_thread_of_its_own_writes_now_and_then_and_starts_with_the_first_use(monkeypatch):
    written = threading.Event()
    monkeypatch.setattr(Uses, "write", lambda _: written.set())
    uses = Uses(every=0.01)
    assert uses._thread is None
    uses.note(1)
    assert written.wait(5)
    assert uses._thread.daemon
    thread = uses._thread
    uses.end()
    thread.join(5)
    assert not thread.is_alive()


def test_at_the_end_what_is_left_is_written(uses, credentials):
    uses.note(credentials[0].pk)
    uses.end()
    assert last(credentials[0]) is not None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_leaves_the_uses_of_its_parent_to_it(monkeypatch):
    uses = module.uses
    monkeypatch.setattr(uses, "_times", {1: timezone.now()})
    with uses._lock:
        pid = os.fork()
        if pid == 0:
            # In a thread that holds the lock as well, the child would wait for ever.
            is_new = not uses._times and uses._thread is None and uses._lock.acquire(timeout=1)
            os._exit(0 if is_new else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(uses._times) == 1
