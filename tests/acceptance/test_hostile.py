"""Messages made to stop the ingestor stop nobody: they are rejected, the others stored."""

import json

import pytest

from tests.acceptance.ledger import KEPT, Ledger
from tests.acceptance.processes import Platform

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("subscribed")]

HOSTILE = {
    "quotes without an end": [b"[" * 65 + b'"' + b'\\"' * 95_000],
    "numbers that only PostgreSQL refuses": [b'{"a": 0e-99999}'] * 500,
    "more readings than bytes": [b"[" + b"1," * 130_000 + b"1]"] * 4,
    "arrays that share an id": [
        json.dumps([{"msg_id": "one", "n": n}, {"msg_id": n}]).encode() for n in range(1_500)
    ],
    "arrays that repeat each other": [b'[{"msg_id": "one"}, {"n": 1}]'] * 1_500,
    "new keys in every message": [
        json.dumps({f"key-{n}-{k}": k for k in range(60)}).encode() for n in range(2_000)
    ],
    "tenants that nobody knows": [],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_messages_stop_nobody(platform: Platform, ledger: Ledger, kind: str) -> None:
    tenant = "nobody" if kind == "tenants that nobody knows" else "t0"
    bodies = HOSTILE[kind] or [b"{}"] * 2_000
    for body in bodies:
        ledger.publish_raw(f"{tenant}/devices/hostile/telemetry", body)
    ledger.publish(500)
    said = platform.drain().said
    assert "did not answer" not in said
    assert "Traceback" not in said
    assert platform.judge(ledger) == KEPT
