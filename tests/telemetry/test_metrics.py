"""The law of conservation at the doors, as this process counts it."""

from collections import Counter

import psycopg
import pytest

from telemetry.incoming import decode_message
from telemetry.ingest import Batch
from telemetry.metrics import OF_READINGS
from tests.telemetry import knocking


def counted():
    return Counter(
        {
            (sample.name.removeprefix("iotplatform_readings_"), *sample.labels.values()): int(
                sample.value
            )
            for counter in OF_READINGS
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
    )


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'[{"msg_id": 1}, {"msg_id": 2}]', {("total", "stored"): 2}),
        (b'[{"msg_id": 1}, {"msg_id": 1}]', {("total", "stored"): 1, ("total", "duplicate"): 1}),
        (b"[1, 2, NaN]", {("total", "rejected"): 1, ("rejected_total", "not_finite"): 1}),
    ],
)
def test_a_message_over_http_is_counted_by_what_became_of_it(cast, body, outcome):
    send, before = knocking.device(cast.device), counted()
    assert send(body).status_code in (201, 422)
    received = sum(number for (kind, *_), number in outcome.items() if kind == "total")
    assert counted() - before == {("received_total",): received, **outcome}


def test_what_the_database_could_not_store_now_is_not_counted(cast, monkeypatch):
    send, before = knocking.device(cast.device), counted()
    error = knocking.failing(psycopg.OperationalError("gone"))
    monkeypatch.setattr("telemetry.door.store", error)
    assert send(b"{}").status_code == 503
    assert counted() == before


def test_the_reasons_of_a_batch_are_those_of_its_rejected_readings(cast):
    def message(number, body=b'[{"a": 1}, {"a": 2}]', uid="dev-01"):
        return decode_message(f"t0/devices/{uid}/telemetry", body, 1_700_000_000_000_000, number)

    strangers = [message(number, uid="foreign-01") for number in range(2)]
    batch = Batch([message(0), message(1, b'{"msg_id": []}'), *strangers])
    while not batch.is_stored:
        batch.store_part()
    assert batch.reasons == {"bad_msg_id": 1, "foreign_device": 4}
    assert sum(batch.reasons.values()) == batch.tally.rejected
