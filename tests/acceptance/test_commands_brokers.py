"""Commands that wait for a broker which is away."""

import pytest

from tests.acceptance.fleet import OBEYED

pytestmark = pytest.mark.mosquitto


def test_a_thousand_commands_wait_for_a_broker_that_died_with_all_it_knew(platform, new_fleet):
    fleet = new_fleet(20, tells=True)
    fleet.connect()
    platform.ingestor().wait_until_connected()
    platform.dispatcher().wait_until_connected()
    fleet.send()
    fleet.wait_for(20)
    platform.broker.kill()
    fleet.send(50)
    platform.broker.start()
    fleet.wait_until_done()
    assert fleet.findings() == OBEYED
