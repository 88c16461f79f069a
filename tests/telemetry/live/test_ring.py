"""What is kept for those who come back."""

import pytest

from telemetry.live import ring as rings
from telemetry.live.ring import Event, Kind, Ring, Subject

DEVICE = frozenset([Subject(Kind.DEVICE, 1)])


@pytest.fixture
def ring():
    return Ring("abc", seconds=300, size=1_000)


def add(ring, count=1, data="{}"):
    for _ in range(count):
        ring.add(Event("telemetry", data, DEVICE, 1))


def numbers(sent):
    return sent if sent is None else [each.number for each in sent]


def test_what_came_after_a_place_is_found_in_its_order(ring):
    add(ring, 3)
    assert numbers(ring.after(1)) == [2, 3]
    assert numbers(ring.after(0)) == [1, 2, 3]
    assert numbers(ring.after(3)) == []


def test_what_is_too_much_is_dropped_and_its_place_is_lost(ring):
    add(ring, 3, data="x" * 400)
    assert numbers(ring.after(0)) is None
    assert numbers(ring.after(1)) == [2, 3]


def test_an_event_larger_than_all_of_it_leaves_nothing_to_go_on_from(ring):
    add(ring)
    add(ring, data="x" * 2_000)
    assert numbers(ring.after(1)) is None
    assert numbers(ring.after(2)) == []


def test_what_is_too_long_ago_is_dropped(ring, monkeypatch):
    add(ring, 2)
    later = rings.time.monotonic() + 301
    monkeypatch.setattr(rings.time, "monotonic", lambda: later)
    assert numbers(ring.after(1)) is None
    add(ring)
    assert numbers(ring.after(2)) == [3]


@pytest.mark.parametrize("place", ["", "abc", "abc-", "xyz-1", "abc-2", "abc--1", "abc-²", "1"])
def test_a_place_that_is_none_of_its_own_is_unknown(ring, place):
    add(ring)
    assert ring.number_in(place) is None
    assert ring.number_in("abc-1") == 1


def test_an_event_is_text_whose_data_no_line_feed_ends(ring):
    sent = ring.add(Event("command", '{"a":\n1}', DEVICE))
    assert sent.text == b'id: abc-1\nevent: command\ndata: {"a":\ndata: 1}\n\n'
