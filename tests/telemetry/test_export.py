"""History as files: complete, in order, safe for spreadsheets, in blocks that hold nothing open."""

import csv
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from telemetry import export
from telemetry.models import Telemetry
from telemetry.representation import as_json
from tests.cast import NOON, reading, readings
from tests.queries import plan_of

pytestmark = pytest.mark.django_db


def csv_rows(*keys):
    data = b"".join(export.as_csv(Telemetry.objects.all(), list(keys)))
    return list(csv.reader(StringIO(data.decode(), newline="")))


def ndjson_rows(keys=None):
    data = b"".join(export.as_ndjson(as_json(Telemetry.objects.all(), "dev-01", keys)))
    return [json.loads(line) for line in data.splitlines()]


def test_csv_has_time_message_id_and_a_column_for_each_key(cast):
    first = reading(cast.device, temp=21.5, hum=40)
    assert csv_rows("temp", "hum") == [
        ["ts", "msg_id", "temp", "hum"],
        ["2026-01-14T12:00:00+00:00", first.msg_id, "21.5", "40"],
    ]


def test_without_readings_csv_is_its_heading(cast):
    assert csv_rows("temp") == [["ts", "msg_id", "temp"]]


def test_without_readings_ndjson_is_empty(cast):
    assert ndjson_rows() == []


def test_ndjson_has_the_records_of_the_list(cast):
    first = reading(cast.device, temp=21.5, hum=40)
    ts = "2026-01-14T12:00:00.000000+00:00"
    record = {"device_uid": "dev-01", "ts": ts, "msg_id": first.msg_id}
    assert ndjson_rows() == [{**record, "payload": {"temp": 21.5, "hum": 40}}]
    assert ndjson_rows(["hum"]) == [{**record, "payload": {"hum": 40}}]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        (1e300, "1e+300"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ('quoted "so", and\r\nbroken', 'quoted "so", and\r\nbroken'),
        ("-5.5e3", "-5.5e3"),
        ("-5+cmd", "'-5+cmd"),
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("-٣", "'-٣"),
        *((f"{sign}1", f"'{sign}1") for sign in "\uff1d\uff0b\uff0d\uff20"),
        (" =1", " '=1"),
        ('ok;"=1"', """ok;"'=1\""""),
        ("ok;  @x\t+x\n-x", "ok;  '@x\t'+x\n'-x"),
        (["x;=1"], """["x;'=1"]"""),
        ("10.5,-3; b=1", "10.5,-3; b=1"),
    ],
)
def test_every_value_becomes_a_cell_and_no_cell_a_formula(cast, value, cell):
    reading(cast.device, temp=value)
    assert csv_rows("temp")[1][2] == cell


def test_a_key_and_a_message_id_are_no_formulas_either(cast):
    reading(cast.device, **{"=1+1": 1})
    Telemetry.objects.update(msg_id="@id")
    heading, row = csv_rows("=1+1")
    assert (heading[2], row[1]) == ("'=1+1", "'@id")


@pytest.fixture
def _small_blocks(monkeypatch):
    monkeypatch.setattr(export, "BLOCK_CHARACTERS", 30)
    monkeypatch.setattr(export, "FETCHED_ROWS", 2)


def numbers(blocks):
    return [payload["n"] for rows in blocks for _, _, payload in rows]


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_the_blocks_together_are_all_readings_oldest_first(cast, count):
    readings(cast.device, count, every=timedelta(days=1))
    rows = csv_rows("n")[1:]
    assert [row[2] for row in rows] == [str(n) for n in reversed(range(count))]


@pytest.mark.usefixtures("_small_blocks")
def test_a_block_may_end_among_readings_of_one_moment(cast):
    for number in range(20):
        reading(cast.device, n=number)
    assert [row["payload"]["n"] for row in ndjson_rows()] == list(range(20))


@pytest.mark.usefixtures("_small_blocks")
def test_a_block_has_about_the_size_that_is_wanted(cast):
    readings(cast.device, 100)
    texts = as_json(Telemetry.objects.all(), "dev-01", None)
    assert [len(block) for block in export.blocks(texts, "json")] == [1] * 100 + [0]


def test_a_block_of_short_readings_has_a_limit_as_well(cast, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_ROWS", 4)
    readings(cast.device, 10)
    texts = as_json(Telemetry.objects.all(), "dev-01", None)
    assert [len(block) for block in export.blocks(texts, "json")] == [4, 4, 2]


@pytest.mark.usefixtures("_small_blocks")
def test_what_is_added_behind_the_place_reached_is_left_out_and_nothing_comes_twice(cast):
    readings(cast.device, 10)
    texts = as_json(Telemetry.objects.all(), "dev-01", None)
    stream = export.blocks(texts, "json")
    got = next(stream)
    reading(cast.device, at=NOON - timedelta(hours=1), n="late")
    reading(cast.device, at=NOON + timedelta(hours=1), n="new")
    for block in stream:
        got += block
    assert [json.loads(row[2])["payload"]["n"] for row in got] == [*reversed(range(10)), "new"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_small_blocks")
def test_no_transaction_is_open_while_a_block_is_with_its_reader(cast):
    readings(cast.device, 10)
    for _ in export.as_csv(Telemetry.objects.all(), ["n"]):
        assert connection.connection.info.transaction_status.name == "IDLE"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_small_blocks")
def test_whoever_leaves_early_leaves_a_usable_connection(cast):
    readings(cast.device, 10)
    stream = export.as_csv(Telemetry.objects.all(), ["n"])
    next(stream)
    stream.close()
    with transaction.atomic():
        assert Telemetry.objects.count() == 10


@pytest.mark.parametrize("every", [timedelta(seconds=10), timedelta(hours=1)])
def test_a_block_is_read_by_the_key_of_the_table_and_not_sorted(cast, monkeypatch, every):
    monkeypatch.setattr(export, "BLOCK_ROWS", 1_500)
    for each in (cast.device, cast.foreign):
        readings(each, 3_000, every)
    with CaptureQueriesContext(connection) as captured:
        list(export.as_csv(Telemetry.objects.of(cast.device), ["n"]))
    connection.cursor().execute("ANALYZE telemetry_telemetry")
    declared = [query["sql"] for query in captured if "CURSOR FOR" in query["sql"]]
    assert len(declared) == 3
    for statement in declared:
        nodes = {node["Node Type"] for node in plan_of(statement)}
        assert "Index Scan" in nodes
        assert not any("Sort" in node for node in nodes)
