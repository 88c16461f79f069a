"""Commands through the embedded broker to devices of MQTT 3.1.1.

One message with a property of MQTT 5 that it delivers to such a device breaks its port for all.
"""

import paho.mqtt.client as paho
import pytest

from devices.models import Command
from iotplatform.embedded import Broker
from tests.acceptance.fleet import OBEYED
from tests.acceptance.ledger import wait_until
from tests.servers import free_pair


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path / "embedded", free_pair())
    with broker.running():
        yield broker


@pytest.fixture
def platform(platform):
    """Configured as for a trial: without a broker."""
    platform.variables |= {"MQTT__HOST": "", "MQTT__PORT": str(platform.broker.port)}
    return platform


def test_a_hundred_commands_reach_devices_that_reconnect_and_others_after_them(platform, new_fleet):
    fleets = [new_fleet(5, protocol=paho.MQTTv311) for _ in range(4)]
    for fleet in fleets:
        fleet.connect()
        fleet.leave()
    platform.ingestor().wait_until_connected()
    platform.dispatcher()
    for fleet in fleets:
        fleet.send(5)
    sent = Command.objects.filter(status="sent")
    wait_until(lambda: sent.count() == 100, "a hundred commands at the broker")
    late = new_fleet(1, protocol=paho.MQTTv311)
    for fleet in (*fleets, late):
        fleet.connect()
    late.send()
    for fleet in (*fleets, late):
        fleet.wait_until_done()
        assert fleet.findings() == OBEYED
