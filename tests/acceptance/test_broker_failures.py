"""The broker restarts or dies, and others take the ingestor's session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ledger import KEPT, Ledger, wait_until
from tests.acceptance.processes import Platform
from tests.servers import Mosquitto

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("subscribed")]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that writes its sessions to disk."""
    with Mosquitto(tmp_path, persistence=True) as broker:
        yield broker


def test_a_restart_of_the_broker_loses_nothing(platform: Platform, ledger: Ledger) -> None:
    ingestor = platform.ingestor()
    ledger.send(2000)
    wait_until(lambda: platform.count("telemetry_receipt") > 1, "the first commit")
    platform.broker.restart()
    ledger.publish(500)
    wait_until(lambda: platform.count("telemetry_receipt") > 2500, "all messages stored")
    assert ingestor.stop() == 0
    assert platform.judge(ledger) == KEPT


def test_a_backlog_survives_the_death_of_the_broker_once_it_was_saved(
    platform: Platform, ledger: Ledger
) -> None:
    ids = [msg_id.encode() for _, msg_id in ledger.publish(500)]
    saved = platform.broker.directory / "mosquitto.db"
    wait_until(lambda: all(map(saved.read_bytes().__contains__, ids)), "a backlog on disk")
    platform.broker.kill()
    platform.broker.start()
    platform.drain()
    assert platform.judge(ledger) == KEPT


def test_a_session_that_is_taken_over_in_silence_is_taken_back(
    platform: Platform, ledger: Ledger
) -> None:
    ingestor = platform.ingestor()
    ledger.send(1000)
    wait_until(lambda: platform.count("telemetry_receipt") > 1, "the first commit")
    with platform.usurper(clean_start=False):
        ledger.publish(500)
    wait_until(lambda: platform.count("telemetry_receipt") > 1500, "all messages stored")
    assert ingestor.stop() == 0
    assert platform.judge(ledger) == KEPT


def test_an_ingestor_that_is_told_of_a_take_over_ends_and_loses_nothing(
    platform: Platform, ledger: Ledger
) -> None:
    ingestor = platform.ingestor()
    ledger.send(1000)
    wait_until(lambda: platform.count("telemetry_receipt") > 1, "the first commit")
    platform.mqtt.say_taken_over()
    assert ingestor.wait() == 1
    assert "Another client has connected to the broker with this client id." in ingestor.said
    ledger.publish(500)
    platform.drain()
    assert platform.judge(ledger) == KEPT
