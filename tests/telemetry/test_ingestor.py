"""From packets to batches, and the line that counts."""

import json
import time
from types import SimpleNamespace

from devices.mqtt.session import Message, Unreadable
from telemetry import ingestor
from telemetry.ingest import Tally
from telemetry.ingestor import Report, decode_packet, decoded
from telemetry.reasons import Reason

NOW = time.time()


def packet(body, number=1, topic="t0/devices/dev-01/telemetry"):
    return Message(topic, json.dumps(body).encode(), number, NOW, 1, retain=False)


def test_a_packet_becomes_a_message_with_its_time_of_receipt():
    message = decode_packet(packet({"temp": 1}))
    assert (message.tenant, message.uid, len(message.readings)) == ("t0", "dev-01", 1)
    assert message.received_at == int(NOW * 1_000_000)


def test_a_frame_that_cannot_be_read_is_rejected_with_its_bytes():
    frame = Unreadable(b"t0/\xff", b"rest", 7, NOW, 1, b"\x32\x08t0/\xffrest", "bad topic")
    message = decode_packet(frame)
    assert message.rejected.reason == Reason.MALFORMED_PACKET
    assert (message.payload, message.number) == (frame.frame, 7)
    assert message.rejected.detail == "bad topic"


def test_a_batch_is_bounded_by_its_readings(monkeypatch):
    monkeypatch.setattr(ingestor, "BATCH_MESSAGES", 10)
    packets = [packet([{"n": n} for n in range(4)], number) for number in range(7)]
    batches = list(decoded(packets))
    assert [len(batch) for _, batch in batches] == [3, 3, 1]
    assert [each.packet_id for taken, _ in batches for each in taken] == list(range(7))


def test_no_packets_are_no_batch():
    assert list(decoded([])) == []


def test_the_report_counts_in_one_line():
    report = Report(SimpleNamespace(oldest_unacknowledged=time.time() - 3_600))
    report.add(Tally(stored=5, duplicate=1))
    report.add(Tally(stored=3, rejected=1))
    line = report.line()
    assert "received=10 stored=8 duplicate=1 rejected=1" in line
    assert "batch=5 oldest_unacked=36" in line


def test_rate_and_batch_are_since_the_line_before():
    report = Report(SimpleNamespace(oldest_unacknowledged=None))
    report.add(Tally(stored=5))
    report.line()
    assert report.line().endswith("rejected=0 rate=0/s batch=0 oldest_unacked=0.0s")
