"""How a simulated device is let in, refused, and tries again; without a network."""

import logging

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from devices.simulator.link import Broker, Link, pause
from devices.simulator.schedule import Schedule

BROKER = Broker("127.0.0.1", 1883)
TOKEN = "5ec0" * 16


def nothing(*_, **__):
    pass


class Broken:
    """A device's connection, to which happens what a broker does."""

    def __init__(self, broker):
        self.link = Link("t0", "dev-01", broker, Schedule(), on_online=nothing, on_command=nothing)
        self.client = self.link._client
        self.client.subscribe = nothing

    def is_answered(self, reason):
        code = ReasonCode(PacketTypes.CONNACK, reason)
        self.client.on_connect(self.client, None, None, code, None)
        if code.is_failure:
            lost = ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")
            self.client.on_disconnect(self.client, None, None, lost, None)

    @property
    def delays(self):
        return self.client._reconnect_min_delay, self.client._reconnect_max_delay


def test_a_device_with_a_token_says_who_it_is_by_its_uid():
    client = Broken(BROKER.with_token("dev-01", TOKEN)).client
    names = client._client_id, client._username, client._password
    assert names == (b"dev-01", b"dev-01", TOKEN.encode())


def test_a_refusal_is_said_once_with_advice_and_again_after_it_was_let_in(caplog):
    device = Broken(BROKER.with_token("dev-01", TOKEN))
    for _ in range(3):
        device.is_answered("Not authorized")
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("dev-01: the broker refuses it: Not authorized. Is the device enabled")
    device.is_answered("Success")
    device.is_answered("Not authorized")
    assert caplog.text.count("refuses") == 2


def test_a_device_without_a_token_is_told_how_to_get_one(caplog):
    Broken(BROKER).is_answered("Not authorized")
    assert "Give the devices their tokens by --credentials" in caplog.text


def test_a_token_is_nowhere_in_what_is_said(caplog):
    caplog.set_level(logging.DEBUG)
    broker = BROKER.with_token("dev-01", TOKEN)
    Broken(broker).is_answered("Bad user name or password")
    assert TOKEN not in caplog.text + repr(broker)


def test_pauses_grow_with_every_failure_and_start_over_with_a_success(monkeypatch):
    monkeypatch.setattr("devices.simulator.link.random.random", lambda: 0.5)
    device = Broken(BROKER)
    seen = []
    for _ in range(3):
        device.is_answered("Not authorized")
        seen.append(device.delays)
    assert seen == [(0.5, 0.5), (1, 1), (2, 2)]
    device.is_answered("Success")
    device.client.on_connect_fail(device.client, None)
    assert device.delays == (0.5, 0.5)


@pytest.mark.parametrize(("failures", "longest"), [(0, 1), (3, 8), (9, 300), (10_000, 300)])
def test_a_pause_is_any_time_up_to_one_that_doubles(failures, longest):
    assert (pause(failures, 0.0), pause(failures, 1.0)) == (0, longest)
