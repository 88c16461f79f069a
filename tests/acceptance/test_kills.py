"""kill -9 of the ingestor at every dangerous moment, and the proof that this test can see harm."""

import pytest

from tests.acceptance.ledger import KEPT, Ledger, wait_until
from tests.acceptance.processes import Platform
from tests.acceptance.proxy import Point

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("subscribed")]

BATCH = 150
LARGE = 50 * 150
"""Bytes of a third of a batch."""


def kill_at(platform: Platform, point: Point, least: int = 1, sabotage: str = "") -> None:
    """Starts an ingestor and kills it at `point` of the first batch of `least` bytes or more."""
    hold = platform.sql.hold(point, least)
    ingestor = platform.ingestor(sabotage=sabotage)
    hold.wait()
    ingestor.kill()
    hold.cut()
    # What it had already said still counts; the next one must not overtake it.
    platform.mqtt.wait_until_idle()


def kill_before_acknowledgements_arrive(platform: Platform, sabotage: str = "") -> None:
    """The batch is committed and its acknowledgements are written, but reach nobody."""
    platform.mqtt.withhold_acknowledgements()
    ingestor = platform.ingestor(sabotage=sabotage)
    assert platform.mqtt.withheld.wait(30)
    ingestor.kill()
    platform.mqtt.forget_acknowledgements()
    platform.mqtt.wait_until_idle()


def test_twenty_kills_lose_nothing_and_double_nothing(platform: Platform, ledger: Ledger) -> None:
    # The first batch is what the first read brought, a few messages; the next is the backlog.
    for least in (1, LARGE, 1, LARGE, LARGE):
        for point in Point:
            ledger.publish(BATCH)
            kill_at(platform, point, least)
        ledger.publish(BATCH)
        kill_before_acknowledgements_arrive(platform)
    platform.drain()
    assert len(ledger.promised) > 20 * BATCH
    assert platform.judge(ledger) == KEPT


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(
    platform: Platform, ledger: Ledger
) -> None:
    for _ in range(3):
        before = platform.count("telemetry_receipt")
        ledger.publish(1000)
        ingestor = platform.ingestor()
        wait_until(lambda seen=before: platform.count("telemetry_receipt") > seen, "a commit")
        ingestor.kill()
    platform.drain()
    assert platform.judge(ledger) == KEPT


def test_the_ledger_sees_the_loss_when_acknowledgements_precede_the_commit(
    platform: Platform, ledger: Ledger
) -> None:
    ledger.publish(BATCH)
    kill_at(platform, Point.BEFORE_COMMIT, sabotage="ack_before_commit")
    platform.drain()
    assert platform.judge(ledger).lost


def test_the_ledger_sees_doubles_when_receipts_are_ignored(
    platform: Platform, ledger: Ledger
) -> None:
    ledger.publish(BATCH)
    kill_before_acknowledgements_arrive(platform, sabotage="receipts_ignored")
    platform.drain(sabotage="receipts_ignored")
    assert platform.judge(ledger).doubled


def lose_the_session_under_a_batch(platform: Platform, ledger: Ledger, sabotage: str = "") -> None:
    """The broker forgets the session while messages are being stored: packet ids begin at 1 again.

    Two messages come by the old session. While the second commits, the new session delivers others
    under the ids of those; an acknowledgement of the second that is written to the new connection
    takes one of them away, and the kill makes that one irreplaceable.
    """
    ledger.publish(1)
    first = platform.sql.hold(Point.BEFORE_COMMIT)
    ingestor = platform.ingestor(sabotage=sabotage)
    first.wait()
    delivered = platform.mqtt.delivered
    ledger.publish(1)
    wait_until(lambda: platform.mqtt.delivered > delivered, "the delivery of the second message")
    with platform.mqtt.refusing(), platform.usurper(clean_start=True):
        pass
    wait_until(lambda: "session present: False" in ingestor.said, "a new session")
    second = platform.sql.hold(Point.BEFORE_COMMIT)
    first.go_on()
    second.wait()
    ledger.wait_for_subscriber()
    ledger.publish(BATCH)
    third = platform.sql.hold(Point.BEFORE_COMMIT)
    second.go_on()
    third.wait()
    ingestor.kill()
    third.cut()
    platform.mqtt.wait_until_idle()
    platform.drain()


def test_acknowledgements_of_a_lost_session_take_nothing_away(
    platform: Platform, ledger: Ledger
) -> None:
    lose_the_session_under_a_batch(platform, ledger)
    assert platform.judge(ledger) == KEPT


def test_the_ledger_sees_the_loss_when_acknowledgements_change_connection(
    platform: Platform, ledger: Ledger
) -> None:
    lose_the_session_under_a_batch(platform, ledger, sabotage="acks_on_new_connection")
    assert platform.judge(ledger).lost
