"""The counters of messages: that they hold exactly what holds of what is stored."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Tenant
from devices.models import Heartbeat
from telemetry import counts
from telemetry.counts import Tally
from telemetry.ingest import Batch, store
from telemetry.models import MessageCount, RejectedMessage, Telemetry
from telemetry.replay import replay
from tests import cast as people
from tests.telemetry.conftest import message


@pytest.fixture
def other(db):
    """Another tenant, with the device foreign-01."""
    tenant = Tenant.objects.create(slug="other")
    people.device("foreign-01", tenant)
    return tenant


def counted(**tenant):
    sums = {name: Sum(name, default=0) for name in Tally._fields}
    return Tally(**MessageCount.objects.filter(**tenant).aggregate(**sums))


def test_every_reading_is_counted_as_what_became_of_it(t0, dev):
    store([message({"msg_id": 1}), message([{"msg_id": 2}, {"msg_id": 3}])])
    store([message({"msg_id": 1}), message(b"\xff"), message([{"msg_id": 1, "temp": 2}, {}])])
    assert counted(tenant_id=t0.pk) == counted() == Tally(stored=3, duplicate=1, rejected=3)
    assert Telemetry.objects.count() == 3


def test_a_minute_of_a_writer_is_one_row(dev):
    for n in range(3):
        store([message({"msg_id": n})])
    row = MessageCount.objects.get()
    assert (row.stored, row.minute.second, row.minute.microsecond) == (3, 0, 0)


def test_tenants_of_one_batch_are_told_apart(t0, dev, other):
    batch = [
        message({"msg_id": 1}, uid="foreign-01", tenant="other"),
        message({"msg_id": 1}, uid="foreign-01", tenant="other"),
        message({"temp": 1}),
        message({"temp": 1}, uid="foreign-01"),
        message({"temp": 1}, tenant="nobody"),
        message({"temp": 1}, tenant="nothing"),
    ]
    assert store(batch) == Tally(stored=2, duplicate=1, rejected=3)
    assert counted(tenant_id=t0.pk) == Tally(stored=1, rejected=1)
    assert counted(tenant_id=other.pk) == Tally(stored=1, duplicate=1)
    assert counted(tenant_id=None) == Tally(rejected=2)


def test_a_batch_repeated_after_a_lost_answer_to_its_commit_is_duplicate(t0, dev, other):
    batch = [message({"msg_id": 1}), message({"msg_id": 2}, uid="foreign-01", tenant="other")]
    store(batch)
    assert store(batch) == Tally(duplicate=2)
    assert counted(tenant_id=t0.pk) == counted(tenant_id=other.pk) == Tally(1, 1)


def test_what_says_nothing_of_readings_is_not_counted(dev):
    store([message(b"online", kind="status")])
    assert not MessageCount.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_was_undone_counts_nothing(dev, monkeypatch):
    def fail(messages):
        raise OperationalError

    with pytest.raises(OperationalError):
        store([message({"msg_id": 1})], keep=fail)
    assert (counted(), Telemetry.objects.count()) == (Tally(), 0)


def test_a_batch_in_parts_counts_each_once(dev):
    batch = Batch([message({"msg_id": n}) for n in range(4)])
    batch.halve()
    while not batch.is_stored:
        batch.store_part()
    assert counted() == batch.tally == Tally(stored=4)


def test_what_is_replayed_was_counted_when_it_came(dev):
    dev.is_enabled = False
    dev.save()
    store([message({"temp": 1})])
    dev.is_enabled = True
    dev.save()
    assert replay(RejectedMessage.objects.get()) == "stored"
    assert counted() == Tally(rejected=1)


@pytest.mark.django_db(transaction=True)
def test_no_writer_waits_for_another(dev):
    """The first one has not committed when the second one counts the same minute and tenant."""
    mine, other = connections["default"], connections.create_connection("default")
    add = {"t0": Tally(stored=1)}
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(counts.ADD, [["t0"], [1], [0], [0]])
        with mine.cursor() as cursor:
            cursor.execute("SET statement_timeout = '5s'")
            counts.add(add)
            cursor.execute("RESET statement_timeout")
        other.commit()
    finally:
        other.close()
    assert counted() == Tally(stored=2)
    assert len(set(MessageCount.objects.values_list("writer", flat=True))) == 2


def test_staff_see_all_and_others_the_counts_of_their_tenant(t0, dev, other):
    store([message({"temp": 1}), message({"temp": 1}, tenant="nobody")])
    staff = people.user("staff@example.com", None, is_superuser=True)
    persons = staff, people.user("a@t0.example", t0), people.user("b@other.example", other)
    assert [MessageCount.objects.visible_to(each).count() for each in persons] == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_old_counters_and_signs_of_life_are_deleted():
    now = timezone.now()
    for days in (0.5, 1.5, 3):
        then = now - timedelta(days=days)
        MessageCount.objects.create(minute=then, writer=1, stored=1)
        beat = {"kind": "ingestor", "started_at": then, "beat_at": then}
        Heartbeat.objects.create(name=f"{days}", **beat)
    said = StringIO()
    call_command("maintain", stdout=said)
    assert "counters of messages older than two days: 1 deleted" in said.getvalue()
    assert "that gave none for a day: 2 deleted" in said.getvalue()
    assert (MessageCount.objects.count(), Heartbeat.objects.get().name) == (2, "0.5")
