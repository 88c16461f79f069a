"""The order in which simulated devices do things."""

import threading
import time

import pytest

from devices.simulator.schedule import Schedule


@pytest.fixture
def schedule():
    return Schedule()


def test_what_is_due_first_is_done_first(schedule):
    done = []
    for seconds in (0.02, 0, 0.01):
        schedule.after(seconds, lambda seconds=seconds: done.append(seconds))
    schedule.run(lambda: len(done) == 3)
    assert done == [0, 0.01, 0.02]


def test_what_is_due_at_one_time_is_done_in_the_order_it_was_planned(schedule):
    done = []
    for number in range(100):
        schedule.at(5.0, lambda number=number: done.append(number))
    schedule.run(lambda: len(done) == 100)
    assert done == list(range(100))


def test_all_is_done_in_the_thread_that_runs_it(schedule):
    threads = []
    planner = threading.Timer(
        0.01, schedule.after, (0, lambda: threads.append(threading.current_thread()))
    )
    planner.start()
    schedule.run(lambda: bool(threads), 10)
    assert threads == [threading.current_thread()]


def test_it_ends_when_its_time_is_over_though_something_is_planned(schedule):
    schedule.after(3600, lambda: pytest.fail("an hour early"))
    started = time.monotonic()
    schedule.run(lambda: False, 0.02)
    assert 0.02 <= time.monotonic() - started < 5
