"""Exports over the API: what the file is, and that half a file never looks like a whole one."""

import base64
import gzip
import http.client
import json
import os
import subprocess
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.tokens import AccessToken

from telemetry import export
from telemetry.models import Telemetry
from tests import cast as people
from tests.cast import NOON, api, reading, readings
from tests.servers import free_port, wait_for_port

EXPORT = "/telemetry/dev-01/export"
TEXT = 64 * 1024


def exported(client, url=EXPORT, **parameters):
    answer = client.get(url, parameters)
    assert answer.status_code == 200
    return answer.getvalue().decode()


def test_a_file_is_csv_with_a_column_for_each_key_the_device_sends(cast):
    dev = people.device("dev-02", cast.t0, latest={"temp": [2, 0], "Hum": [3, 0]})
    reading(dev, temp=1, other=2)
    heading, row, end = exported(api(cast.viewer), "/telemetry/dev-02/export").split("\r\n")
    assert (heading, row.split(",")[2:], end) == ("ts,msg_id,Hum,temp", ["", "1"], "")


def test_keys_are_the_columns_in_the_order_wanted(cast):
    reading(cast.device, temp=1, hum=2)
    lines = exported(api(cast.viewer), keys="temp,none,hum").splitlines()
    assert lines[0] == "ts,msg_id,temp,none,hum"
    assert lines[1].endswith(",1,,2")


@pytest.mark.parametrize("name", ["ts", "msg_id"])
def test_the_columns_that_csv_has_anyway_are_no_keys_there(cast, name):
    reading(cast.device, temp=1)
    answer = api(cast.viewer).get(EXPORT, {"keys": f"temp,{name}"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "keys")
    assert exported(api(cast.viewer), keys=f"temp,{name}", **{"as": "ndjson"})


def test_a_time_range_is_cut_out(cast):
    readings(cast.device, 10)
    bounds = {"from": "2026-01-14T11:55:00Z", "to": "2026-01-14T11:57:00Z"}
    lines = exported(api(cast.viewer), keys="n", **bounds).splitlines()
    assert [line.rpartition(",")[2] for line in lines] == ["n", "5", "4"]


def test_ndjson_has_the_lines_of_the_list_of_readings(cast):
    readings(cast.device, 3)
    lines = exported(api(cast.viewer), **{"as": "ndjson"}).splitlines()
    listed = api(cast.viewer).get("/telemetry/dev-01?order=asc").content.decode()
    assert f"[{','.join(lines)}]" == listed


@pytest.mark.parametrize(
    ("form", "kind"), [("csv", "text/csv"), ("ndjson", "application/x-ndjson")]
)
def test_the_file_has_a_type_and_a_name_that_every_system_takes(cast, form, kind):
    people.device("a:b.c", cast.t0)
    answer = api(cast.viewer).get("/telemetry/a:b.c/export", {"as": form}, HTTP_ACCEPT=kind)
    assert answer["Content-Type"] == f"{kind}; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="a-b.c.{form}"'


def test_an_error_is_a_problem_whatever_is_accepted(cast):
    answer = api(cast.viewer).get(EXPORT, {"as": "xlsx"}, HTTP_ACCEPT="text/csv")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == "as"


def test_the_headers_alone_cost_no_reading(cast):
    readings(cast.device, 3)
    with CaptureQueriesContext(connection) as captured:
        answer = api(cast.viewer).head(EXPORT)
    assert (answer.status_code, answer.getvalue()) == (200, b"")
    assert "telemetry_telemetry" not in str(captured.captured_queries)


def test_a_file_is_compressed_block_by_block(cast, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_CHARACTERS", 30)
    readings(cast.device, 20)
    app = api(cast.viewer)
    answer = app.get(EXPORT, HTTP_ACCEPT_ENCODING="gzip")
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.getvalue()).decode() == exported(app)


def test_a_fault_before_the_first_block_is_an_answer_of_its_own(cast, monkeypatch):
    def fail(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(export, "_block", fail)
    assert api(cast.viewer).get(EXPORT).status_code == 503


@pytest.fixture
def web(tmp_path):
    """The port of a web server on the database of this test."""
    port = free_port()
    database = f"/{connection.settings_dict['NAME']}"
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=database).geturl()
    environment = {"DATABASE_URL": url, "JWT_SECRET": settings.JWT_SECRET, "DEBUG": "1"}
    command = [sys.executable, "-m", "gunicorn", "iotplatform.wsgi", "--no-control-socket"]
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    log = tmp_path / "web.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, *options],
            cwd=settings.BASE_DIR,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        wait_for_port(port, process, log)
        yield port
        process.terminate()


def end_other_connections():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def asked(port, user, version=11, **headers):
    """The connection of a client, and the answer to its request for NDJSON, not read yet."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client._http_vsn, client._http_vsn_str = version, f"HTTP/{version / 10}"
    headers["Authorization"] = f"Bearer {AccessToken.for_user(user)}"
    client.request("GET", f"{EXPORT}?as=ndjson", headers=headers)
    return client, client.getresponse()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_file_that_cannot_be_finished_ends_in_a_broken_connection(cast, web, encoding):
    for number in range(300):
        noise = base64.b64encode(os.urandom(TEXT)).decode()
        reading(cast.device, at=NOON - timedelta(seconds=number), noise=noise)
    client, answer = asked(web, cast.viewer, **{"Accept-Encoding": encoding})
    assert (answer.status, len(answer.read(1000))) == (200, 1000)
    end_other_connections()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    assert Telemetry.objects.count() == 300
    client.close()


@pytest.mark.django_db(transaction=True)
def test_over_http_1_0_where_nobody_could_tell_no_file_is_begun(cast, web):
    client, answer = asked(web, cast.viewer, version=10)
    assert (answer.status, answer.headers["Content-Type"]) == (505, "application/problem+json")
    assert "Use HTTP/1.1" in json.load(answer)["detail"]
    client.close()
