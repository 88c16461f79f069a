"""Between the rows and whoever tells the broker, whichever broker that is."""

import asyncio
import logging

import pytest

from devices.brokers import carrier as carriers
from devices.brokers.carrier import FIRST_CHANGES, MOST_CHANGES, Carrier, Pace, Report, Teller
from devices.brokers.changes import Told
from devices.models import BrokerChange, Credential
from tests import cast as people
from tests.devices.brokers.mosquitto.telling import Inline

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def access(settings, monkeypatch):
    settings.MQTT_ACCESS = "mosquitto"
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    monkeypatch.setattr(carriers, "listen", lambda *_: carriers.nothing())


class Broker:
    """Answers for each device with an error, by uid, and remembers whom it was told of."""

    def __init__(self, **errors):
        self.errors = {uid.replace("_", "-"): said for uid, said in errors.items()}
        self.rounds = []

    async def tell(self, changes):
        self.rounds.append([each.uid for each in changes])
        return [Told(each, self.errors.get(each.uid, "")) for each in changes]

    @property
    def uids(self):
        return [uid for uids in self.rounds for uid in uids]


def drain(broker, **options):
    carrier = Carrier(Teller(broker.tell, **options), Inline())
    asyncio.run(carrier.run(drain=True))
    return carrier


def fleet(cast, count):
    devices = [people.device(f"d{n:02}", cast.t0) for n in range(count)]
    BrokerChange.objects.note([each.pk for each in devices])
    return [each.device_uid for each in devices]


def test_a_drain_tells_all_that_is_due_a_few_at_a_time_and_then_more(cast):
    uids = fleet(cast, 12)
    broker = Broker()
    drain(broker)
    assert sorted(broker.uids) == uids
    assert [len(each) for each in broker.rounds] == [5, 7]
    assert not BrokerChange.objects.exists()


def test_what_failed_is_shown_and_does_not_keep_a_drain_from_ending(cast, monkeypatch):
    monkeypatch.setattr("devices.brokers.changes.FIRST_PAUSE", 0.0)
    fleet(cast, 3)
    broker = Broker(d01="It is out of order.")
    carrier = drain(broker)
    assert BrokerChange.objects.get().error == "It is out of order."
    assert broker.uids.count("d01") == 2
    assert carrier.report.line() == "broker told=2 again=0 failed=2"


def test_the_end_of_a_time_is_told_where_the_broker_does_not_know_it(cast):
    people.token(cast.device)
    BrokerChange.objects.all().delete()
    Credential.objects.update(expires_at="2026-01-01T00:00Z")
    broker = Broker()
    drain(broker)
    assert broker.uids == []
    drain(broker, knows_no_time=True)
    assert broker.uids == ["dev-01"]


def test_nothing_is_claimed_while_the_broker_is_away(cast, monkeypatch):
    monkeypatch.setattr(carriers, "NOT_READY_SECONDS", 0.01)
    fleet(cast, 1)
    broker = Broker()
    carrier = Carrier(Teller(broker.tell, is_ready=lambda: False), Inline())

    async def main():
        asyncio.get_running_loop().call_later(0.05, carrier.stop)
        await carrier.run()

    asyncio.run(main())
    assert BrokerChange.objects.get().leased_until is None
    looks = iter([False, False, False])
    drain(broker, is_ready=lambda: next(looks, True))
    assert broker.uids == ["d00"]


def test_at_work_it_tells_what_it_is_woken_for_and_ends_when_it_is_told_to(cast):
    broker, ours = Broker(), Inline()

    async def main():
        carrier = Carrier(Teller(broker.tell), ours)
        running = asyncio.create_task(carrier.run())
        await asyncio.sleep(0.02)
        await ours.run(lambda: fleet(cast, 1))
        carrier.wake()
        while not broker.rounds:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        carrier.stop()
        await asyncio.wait_for(running, 5)

    asyncio.run(main())
    assert not BrokerChange.objects.exists()


def test_a_bug_ends_it_loudly(cast):
    fleet(cast, 1)

    async def broken(changes):
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(Carrier(Teller(broken), Inline()).run(drain=True))
    assert caught.group_contains(ZeroDivisionError)


def test_a_broker_is_busy_for_half_a_second_at_most():
    pace = Pace()
    pace.learn(0.6)
    assert pace.limit == FIRST_CHANGES // 2
    for _ in range(9):
        pace.learn(0.01)
    assert pace.limit == MOST_CHANGES
    for _ in range(9):
        pace.learn(30)
    assert pace.limit == 1


def test_no_token_is_logged(cast, caplog):
    caplog.set_level(logging.DEBUG)
    token = people.token(cast.device)
    drain(Broker(dev_01="It is out of order."))
    assert token not in caplog.text
    assert "failed=1" in caplog.text


def test_a_report_is_made_when_there_is_news():
    report = Report()
    assert not report.has_news
    report.add([Told(None, again=5.0)])
    assert report.has_news
    assert report.line() == "broker told=0 again=1 failed=0"
    assert not report.has_news
