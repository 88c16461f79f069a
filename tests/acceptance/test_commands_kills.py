"""kill -9 of the dispatcher at every dangerous moment, a database that is ill, and the proof that
these tests can see harm.
"""

import signal

import pytest
from django.db import connections

from devices.commands.statements import CLAIM, TAKEN
from devices.models import Command
from tests.acceptance.fleet import OBEYED
from tests.acceptance.ledger import wait_until
from tests.acceptance.proxy import PUBACK, PUBLISH, Point

pytestmark = pytest.mark.mosquitto

STEPS = [
    (CLAIM, Point.BEFORE_COMMIT),
    (CLAIM, Point.COMMITTED),
    (TAKEN, Point.BEFORE_COMMIT),
    (TAKEN, Point.COMMITTED),
]


@pytest.fixture
def platform(shared):
    """Without a dispatcher, and without commands of other tests."""
    yield shared
    shared.stop(shared.listening)
    with shared.server.connect(shared.database) as connection:
        connection.execute("TRUNCATE devices_command, devices_devicequeue CASCADE")


@pytest.fixture
def fleet(new_fleet):
    """Ten devices that are connected."""
    fleet = new_fleet(10)
    fleet.connect()
    return fleet


def kill_at(platform, statement, point, sabotage="impatient"):
    """Starts a dispatcher and kills it at `point` of the transaction with `statement`."""
    hold = platform.sql.hold(point, statement=statement)
    dispatcher = platform.dispatcher(sabotage=sabotage)
    hold.wait()
    dispatcher.kill()
    hold.cut()


def kill_before_answers_arrive(platform, fleet, sabotage="impatient"):
    """The broker has passed the commands on, but its word for that reaches nobody."""
    before = len(fleet.received)
    with platform.mqtt.withholding(PUBACK):
        dispatcher = platform.dispatcher(sabotage=sabotage)
        fleet.wait_for(before + 10)
        dispatcher.kill()


def test_kills_at_every_step_lose_nothing_double_nothing_and_keep_the_order(platform, fleet):
    fleet.send(20)
    # As long as no answer arrives, what was not recorded has to be published again.
    with platform.mqtt.withholding(PUBLISH):
        for statement, point in STEPS:
            kill_at(platform, statement, point)
        kill_before_answers_arrive(platform, fleet)
        platform.dispatcher(sabotage="impatient")
        fleet.wait_for(211)
    fleet.wait_until_done()
    assert len(set(fleet.received)) == 200 < len(fleet.received)
    assert fleet.findings() == OBEYED


def test_sigterm_leaves_no_command_of_which_nobody_knows_whether_it_went_out(platform, fleet):
    fleet.send(30)
    dispatcher = platform.dispatcher()
    fleet.wait_for(50)
    assert dispatcher.stop() == 0
    claimed = Command.objects.filter(claimed_at__isnull=False)
    assert 50 <= claimed.count() == claimed.filter(sent_at__isnull=False).count() < 300
    platform.dispatcher()
    fleet.wait_until_done()
    assert len(fleet.received) == 300
    assert fleet.findings() == OBEYED


def test_two_dispatchers_share_the_work_and_keep_the_order_of_each_device(platform, fleet):
    pair = [platform.dispatcher(sabotage="small_rounds") for _ in range(2)]
    for dispatcher in pair:
        dispatcher.wait_until_connected()
    fleet.send(30)
    fleet.wait_until_done()
    assert [dispatcher.stop() for dispatcher in pair] == [0, 0]
    taken = [dispatcher.counters["taken"] for dispatcher in pair]
    assert sum(taken) == 300 == len(fleet.received)
    assert min(taken) > 0
    assert fleet.findings() == OBEYED


def test_the_judge_sees_the_loss_when_a_claim_never_runs_out(platform, fleet, new_fleet):
    fleet.send()
    kill_at(platform, CLAIM, Point.COMMITTED, sabotage="claimed_for_good")
    others = new_fleet(10)
    others.connect()
    others.send(5)
    platform.dispatcher(sabotage="claimed_for_good")
    others.wait_until_done()
    assert len(fleet.findings().lost) == 10


def test_the_judge_sees_doubles_when_every_attempt_has_an_id_of_its_own(platform, fleet):
    fleet.send()
    kill_before_answers_arrive(platform, fleet, sabotage="new_id_with_every_attempt")
    platform.dispatcher(sabotage="new_id_with_every_attempt")
    fleet.wait_for(20)
    assert len(fleet.findings().doubled) == 10


def test_the_judge_sees_disorder_when_any_command_of_a_device_may_be_first(platform, fleet):
    fleet.send(20)
    platform.dispatcher(sabotage="claimed_in_any_order")
    fleet.wait_for(200)
    assert fleet.findings().disordered


def test_commits_whose_answers_are_lost_lose_no_command(platform, fleet):
    holds = [platform.sql.hold(Point.COMMITTED, statement=each) for each in (CLAIM, TAKEN)]
    dispatcher = platform.dispatcher(sabotage="impatient")
    fleet.send(10)
    for hold in holds:
        hold.wait()
        hold.cut()
    fleet.wait_until_done()
    assert "The database cannot now" in dispatcher.said
    assert fleet.findings() == OBEYED


def test_a_frozen_claim_that_thaws_after_the_deadline_loses_no_command(platform, fleet):
    hold = platform.sql.hold(Point.BEFORE_COMMIT, statement=CLAIM)
    dispatcher = platform.dispatcher(sabotage="impatient")
    fleet.send(5)
    hold.wait()
    with platform.frozen_transaction():
        hold.go_on()
        wait_until(lambda: "did not answer" in dispatcher.said, "the dispatcher gave the call up")
    fleet.wait_until_done()
    assert fleet.findings() == OBEYED


def test_postgresql_restarts_while_commands_go_out(platform, fleet):
    fleet.send(60)
    platform.dispatcher(sabotage="impatient")
    fleet.wait_for(50)
    connections.close_all()
    with platform.server.down(signal.SIGQUIT):
        assert len(fleet.received) < 600
    fleet.wait_until_done()
    assert fleet.findings() == OBEYED
