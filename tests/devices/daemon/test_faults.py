"""Whose fault an error is, asked of errors that PostgreSQL really raises."""

import psycopg
import pytest
from django.db import connection, transaction, utils

from devices.daemon.faults import Fault, fault_of

pytestmark = pytest.mark.django_db


def error_of(sql, *params):
    with pytest.raises((psycopg.Error, utils.Error)) as caught, transaction.atomic():
        connection.cursor().execute(sql, params)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT '{'::jsonb", Fault.MESSAGE),
        ("SELECT 1 / 0", Fault.MESSAGE),
        ("SELECT '1e-99999'::jsonb", Fault.MESSAGE),
        ("SELECT repeat('[', 10000)::jsonb", Fault.MESSAGE),
        ("INSERT INTO accounts_tenant (slug, name) VALUES ('/', '')", Fault.MESSAGE),
        ("INSERT INTO accounts_tenant (slug, name) VALUES ('a', ''), ('a', '')", Fault.MESSAGE),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", Fault.WAIT),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", Fault.WAIT),
        ("DO $$ BEGIN RAISE SQLSTATE '57P01'; END $$", Fault.WAIT),
        ("DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$", Fault.WAIT),
        ("DO $$ BEGIN RAISE SQLSTATE '57014'; END $$", Fault.SLOW),
        ("DO $$ BEGIN RAISE SQLSTATE '54001'; END $$", Fault.MESSAGE),
        ("DO $$ BEGIN RAISE 'NOTIFY queue' USING ERRCODE = '54000'; END $$", Fault.LISTENERS),
        ("DO $$ BEGIN RAISE SQLSTATE '25006'; END $$", Fault.BUG),
        ("SELECT * FROM no_such_table", Fault.BUG),
        ("SELEKT", Fault.BUG),
    ],
)
def test_the_sqlstate_decides(sql, fault):
    assert fault_of(error_of(sql)) is fault


def test_a_missing_partition_is_not_the_message_s_fault():
    error = error_of(
        "INSERT INTO telemetry_telemetry (device_id, ts, msg_id, received_at, payload) "
        "VALUES (1, '1999-01-01', 'a', now(), '{}')"
    )
    assert fault_of(error) is Fault.PARTITION


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (psycopg.OperationalError("the connection is closed"), Fault.WAIT),
        (utils.InterfaceError("connection already closed"), Fault.WAIT),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL"), Fault.MESSAGE),
        (KeyError("ours"), Fault.BUG),
    ],
)
def test_an_error_of_the_client_is_told_by_its_class(error, fault):
    assert fault_of(error) is fault
