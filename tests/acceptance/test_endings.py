"""Every way to end an ingestor: idle, without a database, at the end of a queue."""

import pytest

from benchmarks.publisher import publish, readings
from tests.acceptance.ledger import KEPT, Ledger, wait_until
from tests.acceptance.processes import Platform

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("subscribed")]


def test_sigterm_ends_an_idle_ingestor_without_a_fuss(platform: Platform) -> None:
    ingestor = platform.ingestor()
    wait_until(lambda: "Connected to the broker" in ingestor.said, "the connection")
    assert ingestor.stop() == 0
    assert "Traceback" not in ingestor.said


def test_sigterm_ends_an_ingestor_that_waits_for_its_database(
    platform: Platform, ledger: Ledger
) -> None:
    ingestor = platform.ingestor()
    ledger.publish(50)
    wait_until(lambda: platform.count("telemetry_receipt") > 50, "the messages stored")
    with platform.sql.refusing():
        ledger.publish(50)
        wait_until(lambda: "The database cannot now (attempt 2)" in ingestor.said, "the trouble")
        assert ingestor.stop() == 0
    assert "the broker will send it again" in ingestor.said
    platform.drain()
    assert platform.judge(ledger) == KEPT


def test_sigterm_ends_an_ingestor_that_never_reached_its_database(platform: Platform) -> None:
    with platform.sql.refusing():
        ingestor = platform.ingestor()
        wait_until(lambda: "The database cannot now" in ingestor.said, "the trouble")
        ingestor.process.terminate()
        ingestor.wait()


def test_sigterm_ends_a_drain_that_finds_no_broker(platform: Platform) -> None:
    with platform.mqtt.refusing():
        ingestor = platform.ingestor("--drain")
        wait_until(lambda: "No connection to the broker" in ingestor.said, "the trouble")
        assert ingestor.stop() == 0


def test_a_drain_waits_for_a_connection_that_breaks(platform: Platform) -> None:
    publish(platform.broker.port, readings(30_000))
    ingestor = platform.ingestor("--drain")
    wait_until(lambda: platform.count("telemetry_receipt") > 1, "the first commit")
    with platform.mqtt.refusing():
        wait_until(lambda: "No connection to the broker" in ingestor.said, "the break")
    assert ingestor.wait(60) == 0
    assert platform.drain().counters["received"] == 0
    assert platform.count("telemetry_receipt") == 1 + 30_000
