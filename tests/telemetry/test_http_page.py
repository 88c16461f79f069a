"""docs/http-vs-mqtt.md: its device keeps what it has measured until the platform has it."""

import http.client
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from devices.models import Device
from telemetry import door, ingest, partitions
from telemetry.models import RejectedMessage, Telemetry
from tests import cast as people
from tests.telemetry import knocking

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http-vs-mqtt.md").read_text()


class Connection:
    """Stands for a connection to a web server; the last of its requests is kept."""

    def __init__(self, host, port, timeout):
        self._answer = None

    def request(self, method, address, body, headers):
        uid = address.removeprefix("/telemetry/")
        self._answer = knocking.send(uid, body, headers)

    def getresponse(self):
        return SimpleNamespace(status=self._answer.status_code, read=lambda: self._answer.content)

    def close(self):
        pass


def unreachable(*args, **options):
    raise OSError("Network is unreachable")


@pytest.fixture
def device(cast, tmp_path, monkeypatch):
    """The names in the device's code."""
    monkeypatch.setattr(door, "note", lambda number: None)
    partitions.make_ahead(datetime.now(UTC))
    made = people.device("my-first", cast.t0)
    monkeypatch.setenv("TOKEN", people.token(made))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    return started()


def started():
    """The device after its power came (back)."""
    names = {"__name__": "sender"}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], names)
    return SimpleNamespace(**names)


def measure(device, *temps):
    for number, temp in enumerate(temps):
        device.remember({"msg_id": f"b:{number}", "temp": temp})


def temps():
    return sorted(each.payload["temp"] for each in Telemetry.objects.all())


def test_it_sends_what_it_has_measured_and_forgets_it(device):
    measure(device, 1, 2, 3)
    assert device.send_waiting()
    assert (temps(), device.waiting()) == ([1, 2, 3], [])


def test_what_is_more_than_a_request_takes_goes_in_several(device):
    measure(device, *range(250))
    assert device.send_waiting()
    assert temps() == [*range(250)]


def test_without_a_network_it_keeps_everything_across_a_restart(device, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "request", unreachable)
        measure(device, 1, 2)
        assert not device.send_waiting()
    assert started().send_waiting()
    assert temps() == [1, 2]


def test_what_the_platform_could_not_store_then_is_sent_again(device, monkeypatch):
    measure(device, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_record", knocking.failing(psycopg.OperationalError("lost")))
        assert not device.send_waiting()
    assert device.send_waiting()
    assert temps() == [1]


def test_what_was_stored_and_not_forgotten_is_stored_once(device, monkeypatch):
    measure(device, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "getresponse", unreachable)
        assert not device.send_waiting()
    assert device.send_waiting()
    assert temps() == [1]


def test_what_can_never_be_stored_does_not_stop_the_rest(device):
    device.remember({"msg_id": [], "temp": 1})
    assert device.send_waiting()
    measure(device, 2)
    assert device.send_waiting()
    assert (temps(), RejectedMessage.objects.count()) == ([2], 1)


def test_while_it_is_disabled_it_keeps_everything(device):
    Device.objects.update(is_enabled=False)
    measure(device, 1)
    assert not device.send_waiting()
    assert len(device.waiting()) == 1


def test_it_measures_on_and_pauses_longer_each_time_that_fails(device, monkeypatch):
    clock = SimpleNamespace(now=0.0, sent=[])

    class EnoughError(Exception):
        pass

    def sleep(seconds):
        clock.now += seconds
        if clock.now > 3_600:
            raise EnoughError

    def fail(lines):
        clock.sent.append(clock.now)
        return 0, "away"

    globals_ = device.main.__globals__
    monkeypatch.setitem(globals_, "send", fail)
    fake = SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setitem(globals_, "time", fake)
    with pytest.raises(EnoughError):
        device.main()
    assert len(device.waiting()) == 361
    assert 5 < len(clock.sent) < 30
    ids = [json.loads(line)["msg_id"] for line in device.waiting()]
    assert len(set(ids)) == 361
