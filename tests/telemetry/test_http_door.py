"""POST /telemetry/{device_uid}: the same bodies as over MQTT, with the same outcome."""

import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from psycopg import errors

from devices.models import Device, DeviceState, DeviceType
from telemetry import door, ingest, partitions
from telemetry.incoming import decode_message
from telemetry.ingest import Tally, store
from telemetry.models import RejectedMessage, Telemetry
from telemetry.reasons import Reason
from tests import cast as people
from tests.telemetry import knocking
from tests.telemetry.conftest import latest

NOW = time.time()
LARGEST = 256 * 1024
BODIES = {
    "one": b'{"msg_id": "a", "ts": %f, "temp": 21.5}' % NOW,
    "values": b'{"msg_id": 7, "ts": %d, "values": {"temp": 1, "deep": [{"x": null}]}}' % NOW,
    "without anything": b'{"temp": 1}',
    "known by its content": b'{"ts": %d, "temp": 1}' % NOW,
    "an unreadable time": b'{"ts": "yesterday", "temp": 1}',
    "a time far ahead": b'{"ts": %d, "temp": 1}' % (NOW + 9 * 86_400),
    "several": b'[{"msg_id": 1, "temp": 1}, {"msg_id": 2, "temp": 2}, 3, "four"]',
    "one twice": b'[{"msg_id": 1}, {"msg_id": 1}]',
    "none": b"[]",
    "nothing": b"",
    "a number": b"21.5",
    "a text": "grad: 21 °C".encode(),
    "half of an object": b'{"temp": ',
    "as large as it may be": b'{"text": "%s"}' % (b"x" * (LARGEST - 12)),
    "larger": b'{"text": "%s"}' % (b"x" * LARGEST),
    "as large as is kept": b"x" * (4 * LARGEST),
    "Latin-1": b'{"caf\xe9": 1}',
    "NUL": b'{"a": "\\u0000"}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "too deep": b"[" * 65 + b"]" * 65,
    "too many": b"[%s]" % b",".join([b"1"] * 10_001),
    "NaN": b'{"temp": NaN}',
    "a number beyond a double": b'{"temp": 1e999}',
    "a number of PostgreSQL's own": b'{"temp": 1e-400}',
    "an id that is none": b'{"msg_id": [], "temp": 1}',
    "too old": b'{"ts": 1000000000, "temp": 1}',
    "one of two is wrong": b'[{"msg_id": 1}, {"msg_id": true}]',
    "two of one id": b'[{"msg_id": 1, "temp": 1}, {"msg_id": 1, "temp": 2}]',
}


def lost():
    """As Django has it of psycopg."""
    error = OperationalError("the connection is closed")
    error.__cause__ = psycopg.OperationalError("the connection is closed")
    return error


ILL = [
    psycopg.OperationalError("the connection is lost"),
    errors.AdminShutdown("terminating connection"),
    errors.LockNotAvailable("canceling statement due to lock timeout"),
    errors.QueryCanceled("canceling statement due to statement timeout"),
    errors.DeadlockDetected("deadlock detected"),
    errors.DiskFull("could not extend file"),
    lost(),
]


@pytest.fixture(autouse=True)
def used(monkeypatch):
    """The credentials that were used."""
    numbers = []
    monkeypatch.setattr(door, "note", numbers.append)
    return numbers


@pytest.fixture
def cast(cast):
    partitions.make_ahead(datetime.now(UTC))
    return cast


@pytest.fixture
def send(cast):
    return knocking.device(cast.device)


def over_mqtt(device, body):
    topic = f"{device.tenant.slug}/devices/{device.device_uid}/telemetry"
    return store([decode_message(topic, body, time.time_ns() // 1_000)])


def told(answer):
    return Tally(*(answer.json()[name] for name in Tally._fields))


def rows(device, body):
    """The readings of the device, without ids and times that the platform gave them."""
    # Readings of one message come in the order of their ids.
    return sorted(
        str(
            (
                reading.payload,
                reading.msg_id if reading.msg_id.encode() in body else len(reading.msg_id),
                "came" if reading.ts == reading.received_at else reading.ts,
            )
        )
        for reading in Telemetry.objects.of(device)
    )


def kept(device):
    """The rejected messages of the device."""
    rejected = RejectedMessage.objects.filter(device_uid=device.device_uid)
    return [
        (each.tenant, each.reason, each.detail, bytes(each.payload), each.size)
        for each in rejected.order_by("received_at")
    ]


def fails(monkeypatch, error):
    """The next batch fails with the error in the middle of its transaction, and no other."""
    honest = ingest._record

    def record(*args, **options):
        monkeypatch.setattr(ingest, "_record", honest)
        raise error

    monkeypatch.setattr(ingest, "_record", record)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_comes_to_the_same_as_over_mqtt_at_once_and_again(cast, send, name):
    other, body = people.device("dev-02", cast.t0), BODIES[name]
    for _ in range(2):
        assert told(send(body)) == over_mqtt(other, body)
    assert rows(cast.device, body) == rows(other, body)
    assert kept(cast.device) == kept(other)


def test_what_is_new_is_201_and_what_is_known_200(send):
    body = '{"msg_id": "boot7:1", "temp": 21.5}'
    first, again = send(body), send(body)
    assert (first.status_code, told(first)) == (201, Tally(stored=1))
    assert (again.status_code, told(again)) == (200, Tally(duplicate=1))
    assert first["Content-Type"] == "application/json"


def test_of_an_array_that_is_known_in_part_the_rest_is_stored(send):
    send('{"msg_id": 1}')
    answer = send('[{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 3}]')
    assert (answer.status_code, told(answer)) == (201, Tally(stored=2, duplicate=1))


def test_an_empty_array_says_nothing(send):
    answer = send("[]")
    assert (answer.status_code, told(answer)) == (200, Tally())


def test_without_id_and_time_a_repetition_is_a_second_reading(cast, send):
    assert [send('{"temp": 1}').status_code for _ in range(2)] == [201, 201]
    assert Telemetry.objects.of(cast.device).count() == 2


def test_what_came_over_mqtt_is_known_over_http_and_the_other_way_round(cast, send):
    over_mqtt(cast.device, b'{"msg_id": 1}')
    assert told(send('{"msg_id": 1}')) == Tally(duplicate=1)
    send('{"msg_id": 2}')
    assert over_mqtt(cast.device, b'{"msg_id": 2}') == Tally(duplicate=1)


def test_what_can_never_be_stored_is_kept_and_its_sender_told_why(cast, send):
    answer = send('[{"temp": 1}, {"msg_id": true}]')
    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert problem["code"] == Reason.BAD_MSG_ID
    assert problem["detail"] == f"{Reason.BAD_MSG_ID.label} Element 1: msg_id is True."
    assert told(answer) == Tally(rejected=2)
    assert RejectedMessage.objects.get().topic == b"t0/devices/dev-01/telemetry"


def test_another_message_under_a_used_id_is_kept(cast, send):
    send('{"msg_id": 1, "temp": 1}')
    assert send('{"msg_id": 1, "temp": 2}').json()["code"] == Reason.MSG_ID_REUSED
    assert bytes(RejectedMessage.objects.get().payload) == b'{"msg_id": 1, "temp": 2}'
    assert latest() == {"temp": 1}


def test_equal_messages_of_one_moment_are_both_kept(send, monkeypatch):
    monkeypatch.setattr(door.time, "time_ns", lambda: 1_768_392_000_000_000_000)
    assert [send('{"temp": NaN}').status_code for _ in range(2)] == [422, 422]
    assert RejectedMessage.objects.count() == 2


def test_a_device_that_is_disabled_meanwhile_has_its_message_kept(cast, monkeypatch, send):
    authenticate = door.authenticate

    def then_disable(*who, **options):
        account = authenticate(*who, **options)
        Device.objects.update(is_enabled=False)
        return account

    monkeypatch.setattr(door, "authenticate", then_disable)
    assert send('{"temp": 1}').json()["code"] == Reason.DEVICE_DISABLED
    assert RejectedMessage.objects.count() == 1


def test_the_state_of_the_device_moves(cast, send):
    cast.device.type = DeviceType.objects.create(name="sensor", offline_after=60)
    cast.device.save()
    before = timezone.now()
    send('{"temp": 21.5, "ok": true}')
    state = DeviceState.objects.get(device=cast.device)
    assert latest() == {"temp": 21.5, "ok": True}
    assert min(state.last_seen_at, state.data_at, state.data_since) >= before
    assert Device.objects.with_facts().get(pk=cast.device.pk).data_flow == "flowing"


def test_who_is_offline_and_sends_is_doubted_to_be(cast, send):
    long_ago = timezone.now() - timedelta(hours=1)
    DeviceState.objects.create(device=cast.device, session="offline", since=long_ago)
    send('{"temp": 1}')
    assert DeviceState.objects.get(device=cast.device).session == "unknown"


def test_a_partition_that_is_missing_is_made(send):
    long_ago = (datetime.now(UTC) - timedelta(days=300)).isoformat()
    assert send(json.dumps({"ts": long_ago, "temp": 1})).status_code == 201


def test_the_use_of_the_credential_is_noted(cast, send, used):
    send('{"temp": 1}')
    assert used == [cast.device.credentials.get().pk]


@pytest.mark.parametrize("error", ILL, ids=lambda error: type(error).__name__)
def test_what_the_database_cannot_now_has_to_come_again(cast, send, monkeypatch, error):
    fails(monkeypatch, error)
    answer = send('{"msg_id": 1}')
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"] == "5"
    assert not Telemetry.objects.exists()
    assert not RejectedMessage.objects.exists()
    assert send('{"msg_id": 1}').status_code == 201


def test_while_nobody_can_be_known_it_has_to_come_again_too(send, monkeypatch):
    def authenticate(*who, **options):
        raise lost()

    monkeypatch.setattr(door, "authenticate", authenticate)
    answer = send('{"msg_id": 1}')
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["detail"] == door.NotNow.default_detail


def test_after_a_lost_answer_to_the_commit_the_repetition_is_known(send, monkeypatch):
    def lose(*args, **options):
        store(*args, **options)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(door, "store", lose)
        assert send('{"msg_id": 1}').status_code == 503
    assert told(send('{"msg_id": 1}')) == Tally(duplicate=1)


def test_a_full_queue_of_listeners_keeps_nothing_out(send, monkeypatch):
    fails(monkeypatch, errors.ProgramLimitExceeded("too many notifications in the NOTIFY queue"))
    assert send('{"msg_id": 1}').status_code == 201


def test_a_message_that_the_database_refuses_is_kept(send, monkeypatch):
    fails(monkeypatch, errors.NumericValueOutOfRange("value out of range"))
    answer = send('{"msg_id": 1}')
    assert (answer.status_code, answer.json()["code"]) == (422, Reason.DATABASE)
    assert RejectedMessage.objects.get().reason == Reason.DATABASE


def test_a_fault_of_ours_says_so_and_stores_nothing(send, monkeypatch):
    fails(monkeypatch, errors.UndefinedColumn("no such column"))
    answer = send('{"msg_id": 1}')
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert not Telemetry.objects.exists()


def test_its_transaction_waits_for_no_lock_for_long_and_is_on_disk_when_answered(send, monkeypatch):
    terms = {}

    def record(*args, **options):
        with connection.cursor() as cursor:
            for name in ("lock_timeout", "statement_timeout", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                terms[name] = cursor.fetchone()[0]

    monkeypatch.setattr(ingest, "_record", record)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = 'off'")
    send('{"temp": 1}')
    wanted = {"lock_timeout": "5s", "statement_timeout": "15s", "synchronous_commit": "on"}
    assert terms == wanted


def test_a_hundred_readings_are_as_many_queries_as_one(send, django_assert_num_queries):
    # Who it is, which device, the transaction, its terms. What stores goes past this counter.
    with django_assert_num_queries(5):
        send('{"temp": 1}')
    with django_assert_num_queries(5):
        send(json.dumps([{"temp": 1}] * 100))
