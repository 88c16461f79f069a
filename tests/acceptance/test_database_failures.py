"""PostgreSQL restarts, freezes, or its answer gets lost, while messages stream in."""

import signal

import pytest

from tests.acceptance.ledger import KEPT, Ledger, wait_until
from tests.acceptance.processes import Platform, Process
from tests.acceptance.proxy import Point

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def ingestor(platform: Platform, ledger: Ledger) -> Process:
    """One that runs and has subscribed."""
    ingestor = platform.ingestor()
    ledger.wait_for_subscriber()
    return ingestor


def wait_until_stored(platform: Platform, ledger: Ledger) -> None:
    ledger.settle()
    wait_until(
        lambda: platform.count("telemetry_receipt") >= len(ledger.promised),
        "all messages stored",
        90,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_postgresql_restarts_in_a_stream(
    platform: Platform, ledger: Ledger, ingestor: Process, how: signal.Signals
) -> None:
    ledger.send(1000)
    wait_until(lambda: platform.count("telemetry_receipt"), "the first commit")
    ledger.send(1000)
    with platform.server.down(how):
        ledger.publish(500)
    wait_until_stored(platform, ledger)
    assert ingestor.stop() == 0
    assert platform.judge(ledger) == KEPT


def test_a_commit_whose_answer_is_lost_is_not_stored_again(
    platform: Platform, ledger: Ledger, ingestor: Process
) -> None:
    hold = platform.sql.hold(Point.COMMITTED)
    ledger.publish(500)
    hold.wait()
    hold.cut()
    wait_until_stored(platform, ledger)
    assert ingestor.stop() == 0
    assert platform.drain().counters["received"] == 0
    assert platform.judge(ledger) == KEPT


def test_a_connection_that_breaks_before_the_commit_is_tried_again(
    platform: Platform, ledger: Ledger, ingestor: Process
) -> None:
    hold = platform.sql.hold(Point.BEFORE_COMMIT)
    ledger.publish(500)
    hold.wait()
    hold.cut()
    wait_until_stored(platform, ledger)
    assert ingestor.stop() == 0
    assert platform.judge(ledger) == KEPT


def test_a_frozen_commit_that_thaws_after_the_deadline_is_not_stored_again(
    platform: Platform, ledger: Ledger
) -> None:
    ingestor = platform.ingestor(sabotage="impatient")
    ledger.wait_for_subscriber()
    hold = platform.sql.hold(Point.BEFORE_COMMIT)
    ledger.publish(500)
    hold.wait()
    with platform.frozen_transaction():
        hold.go_on()
        wait_until(lambda: "did not answer" in ingestor.said, "the ingestor gave the call up", 60)
    wait_until_stored(platform, ledger)
    assert ingestor.stop() == 0
    assert platform.judge(ledger) == KEPT
