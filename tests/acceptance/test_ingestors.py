"""Stopping, counting, and several ingestors at a time."""

import pytest

from benchmarks.publisher import publish, readings
from tests.acceptance.ledger import KEPT, Ledger, wait_until
from tests.acceptance.processes import Platform

pytestmark = pytest.mark.mosquitto


def assert_counters_balance(counters: dict[str, int]) -> None:
    outcomes = counters["stored"] + counters["duplicate"] + counters["rejected"]
    assert counters["received"] == outcomes


@pytest.mark.usefixtures("subscribed")
def test_sigterm_in_a_backlog_ends_well_and_loses_nothing(
    platform: Platform, ledger: Ledger
) -> None:
    ledger.publish(10_000)
    ingestor = platform.ingestor()
    wait_until(lambda: platform.count("telemetry_receipt") > 1, "the first commit")
    assert ingestor.stop() == 0
    assert_counters_balance(ingestor.counters)
    drained = platform.drain().counters
    assert drained["duplicate"] == 0
    assert drained["stored"] + ingestor.counters["stored"] >= 10_000
    assert platform.judge(ledger) == KEPT


@pytest.mark.usefixtures("subscribed")
def test_a_backlog_of_more_messages_than_packet_ids_leaves_nothing_behind(
    platform: Platform,
) -> None:
    publish(platform.broker.port, readings(100_000))
    assert platform.drain().counters["stored"] == 100_000
    assert platform.drain().counters["received"] == 0


@pytest.mark.usefixtures("subscribed")
def test_counters_agree_with_the_database(platform: Platform, ledger: Ledger) -> None:
    ledger.publish(300)
    for key in list(ledger.promised)[-50:]:
        ledger.send_again(key)
    for _ in range(20):
        ledger.send_bad("dev-01")
    ledger.settle()
    counters = platform.drain().counters
    assert counters["received"] == 370
    assert counters["stored"] == platform.count("telemetry_telemetry") - 1 == 300
    assert counters["duplicate"] == 50
    assert counters["rejected"] == platform.count("telemetry_rejectedmessage") == 20


def test_a_second_ingestor_of_the_same_name_does_no_harm(
    platform: Platform, ledger: Ledger
) -> None:
    first = platform.ingestor()
    ledger.wait_for_subscriber()
    platform.ingestor()
    ledger.publish(1000)
    wait_until(lambda: platform.count("telemetry_receipt") >= 1000, "all messages stored")
    assert first.process.is_alive()
    assert first.stop() == 0
    assert platform.judge(ledger) == KEPT


def test_two_ingestors_on_the_same_new_devices_store_every_message_once(
    platform: Platform, ledger: Ledger
) -> None:
    names = ("left", "right")
    for subscribing in [platform.ingestor("--drain", client=name) for name in names]:
        assert subscribing.wait() == 0
    ledger.publish(5000)
    pair = [platform.ingestor(client=name) for name in names]
    # One may have stored everything before the other has begun.
    for ingestor in pair:
        ingestor.wait_until_connected()
    wait_until(lambda: platform.count("telemetry_receipt") >= 5000, "all messages stored")
    assert [ingestor.stop() for ingestor in pair] == [0, 0]
    counters = [ingestor.counters for ingestor in pair]
    for each in counters:
        assert_counters_balance(each)
    assert sum(each["stored"] for each in counters) == 5000
    assert not [ingestor.log for ingestor in pair if "deadlock" in ingestor.said]
    assert platform.judge(ledger) == KEPT
