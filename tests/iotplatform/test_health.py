"""Whether the platform is ready, asked in time of a database that may say nothing at all."""

import socket
import time

import psycopg
import pytest
from django.db import connection
from django.test import Client

from iotplatform import asking, health, machines
from iotplatform.health import LACKING, NOT_KNOWN, Readiness
from tests.iotplatform.metrics.test_database import beat


@pytest.fixture
def readiness(monkeypatch):
    fresh = Readiness()
    monkeypatch.setattr(health, "readiness", fresh)
    return fresh


def ready():
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["checks"]


@pytest.mark.django_db(transaction=True)
def test_migrations_are_asked_for_until_all_are_applied(readiness, monkeypatch):
    beat("a", "ingestor", 3, connected=True)
    monkeypatch.setattr(health, "KEPT_SECONDS", 0)
    readiness._wanted = {("devices", "9999_of_tomorrow")}
    assert ready()[1] == {
        "database": "ok", "migrations": LACKING, "ingestor": NOT_KNOWN, "dispatcher": NOT_KNOWN
    }  # fmt: skip
    del readiness._wanted
    status, checks = ready()
    assert (status, checks["migrations"], checks["ingestor"]) == (503, "ok", "ok")
    assert "run_dispatcher" in checks["dispatcher"]
    monkeypatch.setattr(health, "APPLIED", "SELECT FROM nothing_of_the_kind")
    assert ready()[1]["migrations"] == "ok"


def test_a_database_that_says_nothing_is_waited_for_but_seconds(db, readiness, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        parameters = {**connection.get_connection_params(), **address}
        monkeypatch.setattr(connection, "get_connection_params", lambda: {**parameters})
        began = time.monotonic()
        status, checks = ready()
        assert ready()[0] == status == 503
    # Once for both.
    assert time.monotonic() - began < 2 * asking.CONNECT_SECONDS
    assert checks["database"] != "ok"
    assert "127.0.0.1" not in str(checks)
    # Somebody asks every minute, and is told.
    assert not caplog.records
    Client().post("/readyz")
    assert caplog.records


def test_a_statement_that_takes_too_long_is_given_up(db):
    with (
        asking.connected() as own,
        pytest.raises(psycopg.errors.QueryCanceled),
        asking.asking(own) as cursor,
    ):
        cursor.execute("SELECT pg_sleep(5)")


def test_whoever_has_the_connection_next_may_write_as_before(db):
    """Of a pool (PgBouncer), where it goes from hand to hand."""
    with asking.connected() as own:

        def parameters():
            return set(own.execute("SELECT name, setting FROM pg_settings").fetchall())

        before = parameters()
        with asking.asking(own) as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), asking.asking(own) as cursor:
            cursor.execute("DELETE FROM devices_heartbeat")
        assert parameters() == before


@pytest.mark.parametrize("path", sorted(machines.ADDRESSES))
def test_machines_are_answered_by_whatever_name_they_call_us(path, db, readiness, settings):
    settings.METRICS_TOKEN = "known"
    answer = Client().get(path, headers={"Host": "web:8000", "Authorization": "Bearer known"})
    assert answer.status_code in (200, 503)
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"]
    assert Client().post(path).status_code == 405


def test_metrics_are_not_there_without_a_token_but_in_a_trial(db, settings):
    settings.METRICS_TOKEN = ""
    for said in ("", "Bearer ", "Bearer x"):
        assert Client().get("/metrics", headers={"Authorization": said}).status_code == 404
    settings.DEBUG = True
    assert Client().get("/metrics").status_code == 200
