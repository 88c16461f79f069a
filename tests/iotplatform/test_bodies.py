"""Requests are read strictly; answers can be JSON that PostgreSQL made."""

import gzip
import json

import pytest

from devices.models import Device
from iotplatform.rest.bodies import LARGEST
from tests.cast import api


@pytest.fixture
def operator(cast):
    return api(cast.operator)


def post(client, body):
    return client.post("/devices", body, content_type="application/json")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('{"device_uid": "d", "name": "\\u0000"}', "u0000"),
        ('{"device_uid": "d", "name": "\\ud800"}', "surrogate"),
        ('{"device_uid": "d", "name": NaN}', "NaN"),
        ('{"device_uid": "d", "name": -Infinity}', "Infinity"),
        ('{"device_uid": "d", "name": 1e999}', "1e999"),
        (b'{"device_uid": "\xff"}', "UTF-8"),
        ('{"labels": ' + "[" * 70 + "]" * 70 + "}", "64"),
        ("[" * 100_000, "64"),
        ("{", "JSON"),
        ("text", "JSON"),
        ('"text"', "JSON"),
        ("7", "JSON"),
        ("null", "JSON"),
    ],
)
def test_what_the_database_could_not_keep_is_refused_with_the_reason(operator, body, hint):
    response = post(operator, body)
    assert response.status_code == 400
    assert hint in response.json()["detail"]
    assert not Device.objects.filter(device_uid="d").exists()


def test_a_body_that_is_too_large_is_refused(operator):
    response = post(operator, json.dumps({"name": "x" * LARGEST}))
    assert response.status_code == 413
    assert "1,048,576 bytes" in response.json()["detail"]


def test_an_array_where_an_object_belongs_is_refused(operator):
    assert post(operator, "[]").status_code == 400


def test_a_field_that_nobody_knows_is_refused(operator):
    response = post(operator, '{"device_uid": "d", "nmae": "x"}')
    (error,) = response.json()["errors"]
    assert (response.status_code, error["field"], error["code"]) == (400, "nmae", "unknown")
    assert "name" in error["detail"]


def test_an_answer_is_compressed_for_those_who_can_take_it(operator):
    for uid in ("dev-02", "dev-03"):
        post(operator, json.dumps({"device_uid": uid, "name": "compressible " * 15}))
    response = operator.get("/devices", headers={"accept-encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(response.content))) == 3


@pytest.mark.parametrize("value", [5, 1.5, True])
def test_a_number_is_not_made_into_a_text(operator, value):
    response = post(operator, json.dumps({"device_uid": "d", "name": value}))
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "name"
