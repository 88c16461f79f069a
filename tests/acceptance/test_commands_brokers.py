"""Commands that wait for a broker which is away."""

from collections import Counter

import pytest

from devices.models import Command
from tests.acceptance.fleet import OBEYED
from tests.acceptance.ledger import wait_until

pytestmark = pytest.mark.mosquitto


def test_a_thousand_commands_wait_for_a_broker_that_died_with_all_it_knew(platform, new_fleet):
    fleet = new_fleet(20)
    fleet.obeys = False
    fleet.connect()
    platform.ingestor().wait_until_connected()
    platform.dispatcher().wait_until_connected()
    unanswered = fleet.send()
    sent = Command.objects.filter(status="sent")
    wait_until(lambda: sent.count() == 20, "commands that went out")
    platform.broker.kill()
    fleet.send(50)
    fleet.obeys = True
    platform.broker.start()
    fleet.wait_until_done()
    again = Counter(arrival.id for arrival in fleet.received)
    assert min(again[str(command.id)] for command in unanswered) > 1
    assert fleet.findings() == OBEYED
