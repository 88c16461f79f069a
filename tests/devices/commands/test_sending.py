"""The one way to send a command: what is queued, what is refused, and what a repetition means."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.http import Http404
from django.utils import timezone
from rest_framework.exceptions import Throttled, ValidationError

from accounts.conflicts import Conflict
from devices.commands.sending import KeyReused, Order, plan, rehearse, send, send_to_many
from devices.commands.targets import devices_of
from devices.models import Command, CommandBatch, Device
from tests import cast as people

REBOOT = Order("reboot", {"delay": 5})


def everyone(tenant):
    return Device.objects.filter(tenant=tenant)


def to_all(cast, order=REBOOT, key=""):
    return send_to_many(order, everyone(cast.t0), cast.t0, {"all": True}, cast.operator, key)


def in_threads(*works):
    """Run each in a thread of its own, at once; returns what they returned or raised."""
    start, results = threading.Barrier(len(works)), [None] * len(works)

    def run(place, work):
        try:
            start.wait()
            results[place] = work()
        except Exception as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_command_is_queued_for_a_day_with_who_asked_for_it(cast):
    command = Command.objects.get(pk=send(REBOOT, cast.device, cast.operator).what.pk)
    assert (command.status, command.cmd, command.params) == ("queued", "reboot", {"delay": 5})
    assert command.expires_at - command.created_at == timedelta(hours=24)
    assert command.device.queue.look_at <= timezone.now()
    (step,) = command.transitions.all()
    assert (step.status, step.by) == ("queued", "operator@t0.example")


def test_a_terminal_sends_without_a_person(cast):
    command = send(REBOOT, cast.device, None).what
    assert command.issued_by is None
    assert command.transitions.get().by == ""


def test_sending_costs_the_same_however_much_is_there(cast, django_assert_num_queries):
    for _ in range(20):
        send(REBOOT, cast.device, cast.operator)
    with django_assert_num_queries(11):
        send(REBOOT, cast.device, cast.operator)


def test_dispatchers_are_told_once_the_command_is_committed(transactional_db):
    cast = people.cast()
    with connection.cursor() as cursor:
        cursor.execute("LISTEN commands")
    listener = connection.connection
    send(REBOOT, cast.device, None)
    assert [note.channel for note in listener.notifies(timeout=0.2)] == ["commands"]
    with transaction.atomic():
        send(REBOOT, cast.device, None)
        transaction.set_rollback(True)
    assert not list(listener.notifies(timeout=0.1))
    assert Command.objects.count() == 1


def test_a_disabled_device_gets_no_command(cast):
    everyone(cast.t0).update(is_enabled=False)
    with pytest.raises(Conflict, match=r"dev-01 is disabled\. Enable it first\."):
        send(REBOOT, cast.device, cast.operator)


def test_a_full_queue_takes_no_more_until_something_ends(cast, settings):
    settings.COMMAND_QUEUE = 2
    first = people.command(cast.device)
    people.command(cast.device)
    with pytest.raises(Conflict, match="2 commands to dev-01 are open already"):
        send(REBOOT, cast.device, cast.operator)
    past = timezone.now()
    Command.objects.filter(pk=first.pk).update(
        created_at=past - timedelta(hours=1), expires_at=past
    )
    assert send(REBOOT, cast.device, cast.operator).is_new


def test_the_queue_of_one_device_is_not_that_of_another(cast, settings):
    settings.COMMAND_QUEUE = 1
    people.command(cast.device)
    assert send(REBOOT, people.device("dev-02", cast.t0), cast.operator).is_new


def test_a_tenant_that_sends_too_fast_is_told_how_long_to_wait(cast, settings):
    settings.COMMAND_RATE = 2
    people.command(cast.device)
    old = people.command(cast.device)
    Command.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(seconds=50))
    with pytest.raises(Throttled, match="No more than 2 commands a minute") as refusal:
        send(REBOOT, cast.device, cast.operator)
    assert 8 <= refusal.value.wait <= 11
    assert send(REBOOT, cast.foreign, None).is_new


def test_who_sends_many_too_fast_waits_until_there_is_room_for_all(cast, settings):
    settings.COMMAND_RATE = 3
    people.device("dev-02", cast.t0)
    for age in (50, 20, 10):
        made = people.command(cast.device)
        at = timezone.now() - timedelta(seconds=age)
        Command.objects.filter(pk=made.pk).update(created_at=at)
    with pytest.raises(Throttled) as refusal:
        to_all(cast)
    assert 38 <= refusal.value.wait <= 41


def test_a_command_that_is_too_large_is_refused(cast, settings):
    settings.MAX_COMMAND = 100
    with pytest.raises(ValidationError, match="bytes where 100 are allowed"):
        send(Order("say", {"text": "x" * 100}), cast.device, cast.operator)
    with pytest.raises(ValidationError, match="bytes where 100 are allowed"):
        to_all(cast, Order("say", {"text": "x" * 100}))


def test_a_repeated_key_is_the_command_of_before(cast):
    first = send(REBOOT, cast.device, cast.operator, "key-1")
    again = send(REBOOT, cast.device, cast.operator, "key-1")
    assert first.is_new
    assert not again.is_new
    assert again.what == first.what
    assert Command.objects.count() == 1


def test_a_repeated_key_is_known_also_when_nothing_new_would_be_taken(cast, settings):
    first = send(REBOOT, cast.device, cast.operator, "key-1")
    settings.COMMAND_QUEUE = settings.COMMAND_RATE = 1
    everyone(cast.t0).update(is_enabled=False)
    assert send(REBOOT, cast.device, cast.operator, "key-1").what == first.what


@pytest.mark.parametrize(
    "other",
    [Order("stop", {"delay": 5}), Order("reboot", {}), REBOOT._replace(life=timedelta(1, 1))],
)
def test_a_key_for_something_else_is_refused(cast, other):
    send(REBOOT, cast.device, cast.operator, "key-1")
    with pytest.raises(KeyReused):
        send(other, cast.device, cast.operator, "key-1")


@pytest.mark.parametrize("value", [1e30, 1.2345678901234567e19, 2**64 - 1, "é", {"a": [None]}])
def test_the_same_request_is_known_whatever_it_holds(cast, value):
    order = Order("set", {"value": value})
    first = send(order, cast.device, cast.operator, "key-1")
    assert send(order, cast.device, cast.operator, "key-1").what == first.what


def test_true_and_one_are_two_requests(cast):
    send(Order("set", {"on": True}), cast.device, cast.operator, "key-1")
    with pytest.raises(KeyReused):
        send(Order("set", {"on": 1}), cast.device, cast.operator, "key-1")


def test_a_key_for_another_device_is_refused(cast):
    send(REBOOT, cast.device, cast.operator, "key-1")
    with pytest.raises(KeyReused):
        send(REBOOT, people.device("dev-02", cast.t0), cast.operator, "key-1")


def test_a_key_is_its_persons_own(cast):
    first = send(REBOOT, cast.device, cast.operator, "key-1").what
    assert send(REBOOT, cast.device, cast.admin, "key-1").what != first


def test_of_two_requests_with_one_key_at_one_moment_one_sends(transactional_db):
    cast = people.cast()
    sent = in_threads(*[lambda: send(REBOOT, cast.device, cast.operator, "key-1")] * 2)
    assert sorted(each.is_new for each in sent) == [False, True]
    assert Command.objects.count() == 1


def test_a_key_that_is_used_for_two_devices_at_one_moment_is_used_for_one(transactional_db):
    cast = people.cast()
    second = people.device("dev-02", cast.t0)
    sent = in_threads(
        lambda: send(REBOOT, cast.device, cast.operator, "key-1"),
        lambda: send(REBOOT, second, cast.operator, "key-1"),
    )
    assert len([each for each in sent if isinstance(each, Conflict | KeyReused)]) == 1
    assert Command.objects.count() == 1


def test_however_many_send_at_once_the_queue_does_not_overflow(transactional_db, settings):
    settings.COMMAND_QUEUE = 3
    cast = people.cast()
    sent = in_threads(*[lambda: send(REBOOT, cast.device, cast.operator)] * 6)
    assert len([each for each in sent if isinstance(each, Conflict)]) == 3
    assert Command.objects.count() == 3


def test_a_batch_is_a_command_to_each_device_and_notes_who_it_skipped(cast):
    people.device("dev-02", cast.t0)
    everyone(cast.t0).filter(device_uid="dev-01").update(is_enabled=False)
    batch = to_all(cast).what
    batch.refresh_from_db()
    assert [each.device.device_uid for each in batch.commands.all()] == ["dev-02"]
    assert batch.skipped == [
        {"device_uid": "dev-01", "reason": "dev-01 is disabled. Enable it first."}
    ]
    assert batch.target == {"all": True}


def test_a_batch_skips_devices_whose_queue_is_full(cast, settings):
    settings.COMMAND_QUEUE = 1
    people.command(cast.device)
    people.device("dev-02", cast.t0)
    chosen = plan(everyone(cast.t0))
    assert [each.device_uid for each in chosen.devices] == ["dev-02"]
    assert [each.device_uid for each in chosen.skipped] == ["dev-01"]
    assert to_all(cast).what.commands.count() == 1


def test_a_batch_to_more_devices_than_a_minute_allows_is_refused_whole(cast, settings):
    settings.COMMAND_RATE = 1
    people.device("dev-02", cast.t0)
    with pytest.raises(ValidationError, match="2 devices are more than the 1 a minute"):
        to_all(cast)
    assert not CommandBatch.objects.exists()


def test_a_rehearsal_tells_and_refuses_what_sending_would_and_writes_nothing(cast, settings):
    people.device("dev-02", cast.t0)
    everyone(cast.t0).filter(device_uid="dev-01").update(is_enabled=False)
    arguments = (REBOOT, everyone(cast.t0), cast.t0, {"all": True})
    chosen = rehearse(*arguments)
    assert [each.device_uid for each in chosen.devices] == ["dev-02"]
    assert [each.device_uid for each in chosen.skipped] == ["dev-01"]
    settings.COMMAND_RATE = 0
    with pytest.raises(ValidationError, match="1 devices are more"):
        rehearse(*arguments)
    assert not Command.objects.exists()
    assert not CommandBatch.objects.exists()


def test_a_batch_to_a_device_that_is_not_there_is_sent_to_nobody(cast):
    target = {"device_uids": ["dev-01", "foreign-01", "nowhere"]}
    devices = devices_of(cast.t0, target, cast.operator)
    with pytest.raises(ValidationError, match="tenant: foreign-01, nowhere"):
        send_to_many(REBOOT, devices, cast.t0, target, cast.operator)
    assert not CommandBatch.objects.exists()


def test_a_device_that_is_deleted_while_somebody_sends_to_it_is_not_there(transactional_db):
    cast = people.cast()
    everyone(cast.t0).retire()
    with pytest.raises(Http404):
        send(REBOOT, cast.device, None)
    target = {"device_uids": ["dev-01"]}
    with pytest.raises(ValidationError, match="dev-01"):
        send_to_many(REBOOT, devices_of(cast.t0, target, cast.staff), cast.t0, target, None)


def test_a_batch_for_which_no_device_is_left_is_refused_with_the_reasons(cast):
    everyone(cast.t0).update(is_enabled=False)
    with pytest.raises(Conflict, match=r"any of these devices\. dev-01 is disabled\."):
        to_all(cast)
    assert not CommandBatch.objects.exists()


def test_who_sends_from_a_terminal_is_noted(cast):
    command = send(REBOOT, cast.device, None, name="terminal, alice").what
    assert command.transitions.get().by == "terminal, alice"


def test_a_batch_takes_the_same_statements_for_few_devices_and_many(
    cast, django_assert_num_queries
):
    for number in range(2, 40):
        people.device(f"dev-{number:02}", cast.t0)
    with django_assert_num_queries(12):
        assert to_all(cast).what.commands.count() == 39


def test_a_repeated_key_is_the_batch_of_before_whatever_devices_there_are_now(cast):
    first = to_all(cast, key="key-1")
    people.device("dev-02", cast.t0)
    again = to_all(cast, key="key-1")
    assert not again.is_new
    assert again.what == first.what
    assert again.what.commands.count() == 1
    with pytest.raises(KeyReused):
        to_all(cast, Order("stop", {}), key="key-1")


def test_of_two_batches_with_one_key_at_one_moment_one_is_sent(transactional_db):
    cast = people.cast()
    sent = in_threads(*[lambda: to_all(cast, key="key-1")] * 2)
    assert sorted(each.is_new for each in sent) == [False, True]
    assert Command.objects.count() == 1
