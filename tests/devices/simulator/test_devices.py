"""Simulated devices under command, at a real broker."""

import time

import pytest

from devices.simulator import device as devices
from devices.simulator.device import Faults, SimulatedDevice
from devices.simulator.link import Broker, Link
from devices.simulator.schedule import Schedule
from tests.devices.simulator.conftest import simulated


@pytest.fixture(autouse=True)
def quick_boots(monkeypatch):
    monkeypatch.setattr(devices, "BOOT_SECONDS", 0.02)
    monkeypatch.setattr(devices, "REBOOT_DELAY", 0.02)


def test_a_device_that_is_online_hears_at_once(broker, commander):
    with simulated(broker, commander):
        commander.send("a", "set_interval", seconds=60)
        assert commander.hear("replies") == {"id": "a", "status": "ok", "result": {"interval": 60}}


def test_a_reboot_is_accepted_and_over_in_the_next_session(broker, commander):
    with simulated(broker, commander):
        commander.send("a", "reboot")
        assert commander.hear("replies") == {"id": "a", "status": "accepted"}
        offline, online = commander.hear("status"), commander.hear("status")
        assert (offline["state"], offline["reason"], online["state"]) == (
            "offline",
            "reboot",
            "online",
        )
        assert offline["session"] != online["session"]
        assert commander.hear("replies") == {"id": "a", "status": "ok"}


def test_numbers_start_over_with_a_reboot_behind_another_boot(broker, commander):
    with simulated(broker, commander, interval=0.02):
        boot, _ = commander.hear("telemetry")["msg_id"].split(":")
        commander.send("a", "reboot")
        commander.hear("replies")
        while (reading := commander.hear("telemetry"))["msg_id"].startswith(boot):
            pass
        assert reading["msg_id"].endswith(":1")


def test_a_reboot_waits_as_long_as_it_is_told(broker, commander):
    with simulated(broker, commander):
        commander.send("a", "reboot", delay=0.3)
        started = time.monotonic()
        assert commander.hear("replies")["status"] == "accepted"
        assert commander.hear("replies")["status"] == "ok"
        assert time.monotonic() - started >= 0.3


def test_a_reboot_is_remembered_after_it(broker, commander):
    with simulated(broker, commander):
        for _ in range(2):
            commander.send("a", "reboot")
            assert commander.hear("replies")["id"] == "a"
        while commander.hear("replies")["status"] != "ok":
            pass
        commander.send("a", "reboot")
        assert commander.hear("replies")["status"] == "ok"
    reasons = [said["reason"] for kind, said in commander.hear_until_offline() if kind == "status"]
    assert reasons == ["stopped"]


def test_two_reboots_at_once_are_both_over(broker, commander):
    with simulated(broker, commander):
        commander.send("a", "reboot")
        commander.send("b", "reboot")
        ended = set()
        while ended != {"a", "b"}:
            reply = commander.hear("replies")
            ended |= {reply["id"]} if reply["status"] == "ok" else set()


def test_an_interval_holds_from_now_on(broker, commander):
    with simulated(broker, commander):
        commander.send("a", "set_interval", seconds=0.1)
        commander.hear("replies")
        first, second = (commander.hear("telemetry")["ts"] for _ in range(2))
        assert 0.05 < second - first < 2


@pytest.mark.parametrize(
    ("cmd", "params", "error"),
    [
        ("set_interval", {}, "seconds must be a number from 0.1 to 86400."),
        ("set_interval", {"seconds": 0}, "seconds must be a number from 0.1 to 86400."),
        ("reboot", {"delay": "5"}, "delay must be a number from 0 to 3600."),
        ("dance", {}, "Unknown command 'dance'. This device knows reboot and set_interval."),
    ],
)
def test_what_cannot_be_done_is_answered_with_what_is_wrong(broker, commander, cmd, params, error):
    with simulated(broker, commander):
        commander.send("a", cmd, **params)
        assert commander.hear("replies") == {"id": "a", "status": "error", "error": error}


def test_the_fastest_pace_leaves_time_for_commands(broker, monkeypatch):
    published = []
    monkeypatch.setattr(Link, "open", lambda _: None)
    monkeypatch.setattr(devices, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(Link, "publish", lambda _, kind, __: published.append(kind))
    schedule = Schedule()
    device = SimulatedDevice(
        "t0", "dev-01", Broker("127.0.0.1", broker.port), Faults(), schedule, interval=0
    )
    device.start(time.monotonic(), None)
    schedule.after(0.01, lambda: device._hear(b'{"id": "a", "cmd": "set_interval"}'))
    schedule.run(lambda: "replies" in published, 10)
    assert published[0] == "telemetry"
    assert published[-1] == "replies"


def test_a_reading_never_comes_between_offline_and_online(broker, commander):
    with simulated(broker, commander, interval=0.001):
        commander.send("a", "reboot")
        heard = commander.hear_until_offline()
        assert heard[-1][1]["reason"] == "reboot"
        kind, said = commander.hear_next()
    assert (kind, said["state"]) == ("status", "online")


def test_a_slow_device_takes_its_time(broker, commander):
    with simulated(broker, commander, slow=0.3):
        started = time.monotonic()
        commander.send("a", "set_interval", seconds=60)
        commander.hear("replies")
        assert time.monotonic() - started >= 0.3


def test_a_device_that_answers_twice_says_the_same_twice(broker, commander):
    with simulated(broker, commander, answer_twice=True):
        commander.send("a", "set_interval", seconds=60)
        assert commander.hear("replies") == commander.hear("replies")


def test_a_deaf_device_neither_obeys_nor_answers(broker, commander, caplog):
    with simulated(broker, commander, deaf=1.0):
        commander.send("a", "reboot")
        with caplog.at_level("INFO", logger="devices.simulator.device"):
            while "did not hear" not in caplog.text:
                time.sleep(0.01)
    heard = commander.hear_until_offline()
    assert [kind for kind, _ in heard if kind == "replies"] == []
    assert heard[-1][1]["reason"] == "stopped"


def test_a_device_that_is_stopped_in_a_reboot_ends_at_once(broker, commander, monkeypatch):
    monkeypatch.setattr(devices, "BOOT_SECONDS", 3600)
    with simulated(broker, commander):
        commander.send("a", "reboot")
        assert commander.hear("status")["reason"] == "reboot"
        started = time.monotonic()
    assert time.monotonic() - started < 4
