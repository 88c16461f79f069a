"""The writer: keeps at it while the database is ill, and lets nobody else work under its name."""

import asyncio
import threading
import time

import psycopg
import pytest
from django.db import connection, utils

from devices.daemon import writer
from devices.daemon.writer import NameLost, Writer, pauses

pytestmark = pytest.mark.django_db(transaction=True)

TAKE = "SELECT pg_advisory_lock(hashtextextended('test-writer', 0))"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(writer, "pauses", lambda: iter([0.01] * 500))


def run(work, **options):
    hand = Writer("test-writer", **options)
    try:
        return asyncio.run(hand.run(work))
    finally:
        hand.close()


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def failing_once(sql):
    """Work whose first attempt executes `sql`, and whose second succeeds."""
    attempts = []

    def work():
        attempts.append(sql)
        query(sql if len(attempts) == 1 else "SELECT 1")
        return len(attempts)

    return work


def test_work_runs_in_one_thread_of_its_own():
    assert run(threading.get_ident) != threading.get_ident()


def test_the_connection_is_set_up_for_ingest():
    assert run(lambda: query("SHOW statement_timeout")) == "15s"
    assert run(lambda: query("SHOW synchronous_commit")) == "on"


@pytest.mark.parametrize("state", ["57P03", "40001", "53300", "08006"])
def test_work_is_repeated_while_the_database_is_ill(state):
    assert run(failing_once(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$")) == 2


def test_attempts_in_vain_are_counted_and_dated():
    hand = Writer()
    before = time.monotonic()
    try:
        assert (
            asyncio.run(hand.run(failing_once("DO $$ BEGIN RAISE SQLSTATE '57P03'; END $$"))) == 2
        )
        assert hand.failures == 1
        assert before < hand.failed_at < time.monotonic()
    finally:
        hand.close()


def test_a_connection_that_the_server_ends_is_made_anew():
    assert run(failing_once("SELECT pg_terminate_backend(pg_backend_pid())")) == 2


def test_a_database_that_does_not_answer_is_cut_off():
    assert run(failing_once("SELECT pg_sleep(30)"), deadline=1) >= 2


def test_work_that_takes_too_long_is_told_so():
    told = []
    hand = Writer(deadline=1)
    try:
        work = failing_once("SELECT pg_sleep(30)")
        asyncio.run(hand.run(work, too_slow=lambda: told.append(1)))
    finally:
        hand.close()
    assert told


def test_what_is_our_own_fault_is_raised():
    with pytest.raises(utils.ProgrammingError):
        run(failing_once("SELECT nonsense"))


@pytest.fixture
def another_connection(transactional_db):
    parameters = connection.get_connection_params()
    wanted = ("host", "port", "user", "dbname", "password")
    with psycopg.connect(
        autocommit=True, **{key: parameters[key] for key in wanted if key in parameters}
    ) as other:
        yield other


def test_a_second_process_of_the_same_name_waits_for_the_first(another_connection):
    another_connection.execute(TAKE)
    release = threading.Timer(0.3, another_connection.close)
    release.start()
    assert run(lambda: another_connection.closed) is True


def test_a_name_that_another_took_meanwhile_is_lost(another_connection):
    def work():
        if not attempts:
            attempts.append(1)
            query("SELECT pg_advisory_unlock_all()")
            another_connection.execute(TAKE)
            query("SELECT pg_terminate_backend(pg_backend_pid())")

    attempts = []
    with pytest.raises(NameLost, match="took over"):
        run(work)


def test_a_name_that_our_own_dead_connection_still_holds_is_waited_for(another_connection):
    hand = Writer("test-writer")
    hand._backend = another_connection.info.backend_pid
    another_connection.execute(TAKE)
    release = threading.Timer(0.3, another_connection.close)
    release.start()
    try:
        assert asyncio.run(hand.run(lambda: another_connection.closed)) is True
    finally:
        hand.close()


def test_no_statements_are_kept_with_debug(settings):
    settings.DEBUG = True

    def work():
        query("SELECT 1")
        return len(connection.queries)

    hand = Writer()
    try:
        assert [asyncio.run(hand.run(work)) for _ in range(3)][1:] == [1, 1]
    finally:
        hand.close()


def test_two_names_work_side_by_side():
    async def both():
        hands = Writer("one"), Writer("two")
        try:
            return await asyncio.gather(*(hand.run(lambda: query("SELECT 1")) for hand in hands))
        finally:
            for hand in hands:
                hand.close()

    assert asyncio.run(both()) == [1, 1]


def test_pauses_grow_to_half_a_minute_and_never_end():
    seconds = [pause for pause, _ in zip(pauses(), range(50), strict=False)]
    assert seconds[0] < seconds[1]
    assert all(0 < pause <= 30 for pause in seconds)
    assert max(seconds[10:]) > 15
