"""The one write: what is stored, known already, rejected; and what the device's state becomes."""

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from devices.models import Device, DeviceState
from telemetry import incoming, ingest, insert
from telemetry.incoming import decode_message, limits
from telemetry.ingest import Batch, Tally, store
from telemetry.models import Receipt, RejectedMessage, Telemetry
from telemetry.reasons import Reason
from telemetry.replay import replay
from tests.telemetry.conftest import latest, message

pytestmark = pytest.mark.django_db

NOW = time.time()


class FullQueue:
    """Calls on, but at first fails like a COMMIT whose notification finds no room."""

    def __init__(self, honest):
        self.honest, self.calls = honest, 0

    def __call__(self, cursor, *args):
        self.calls += 1
        if self.calls == 1:
            cursor.execute(
                "DO $$ BEGIN RAISE 'too many notifications in the NOTIFY queue' "
                "USING ERRCODE = '54000'; END $$"
            )
        return self.honest(cursor, *args)


def the_reason():
    return RejectedMessage.objects.get().reason


def test_a_message_is_stored_with_everything_about_it(dev):
    sent = message({"msg_id": "a", "ts": NOW, "temp": 21.5})
    assert store([sent]) == Tally(stored=1)
    row = Telemetry.objects.get()
    assert (row.device, row.msg_id, row.payload["temp"]) == (dev, "a", 21.5)
    assert row.ts.timestamp() == pytest.approx(NOW, abs=1e-6)
    assert row.received_at.timestamp() * 1e6 == pytest.approx(sent.received_at, abs=1)


def test_the_same_message_again_is_a_duplicate(dev):
    store([message({"msg_id": "a", "temp": 1})])
    assert store([message({"msg_id": "a", "temp": 1})]) == Tally(duplicate=1)
    assert Telemetry.objects.count() == Receipt.objects.count() == 1


def test_the_same_message_twice_in_a_batch_is_one_row(dev):
    assert store([message({"msg_id": "a"}), message({"msg_id": "a"})]) == Tally(1, 1, 0)


def test_the_same_id_of_another_device_is_another_message(dev):
    assert store([message({"msg_id": 1}), message({"msg_id": 1}, uid="dev-02")]).stored == 2


@pytest.mark.parametrize("together", [True, False])
def test_another_message_under_a_used_id_is_rejected_with_its_bytes(dev, together):
    first, second = message({"msg_id": 1, "temp": 1}), message({"msg_id": 1, "temp": 2})
    batches = [[first, second]] if together else [[first], [second]]
    tallies = [store(batch) for batch in batches]
    assert sum(tally.rejected for tally in tallies) == 1
    assert the_reason() == Reason.MSG_ID_REUSED
    assert bytes(RejectedMessage.objects.get().payload) == b'{"msg_id": 1, "temp": 2}'
    assert latest() == {"temp": 1}


@pytest.mark.parametrize("together", [True, False])
def test_an_array_with_one_used_id_is_rejected_whole(dev, together):
    first = message({"msg_id": 2, "temp": 1})
    array = message([{"msg_id": 1}, {"msg_id": 2, "temp": 9}, {"msg_id": 3}])
    other = message({"msg_id": 4})
    batches = [[first, array, other]] if together else [[first], [array, other]]
    total = Tally()
    for batch in batches:
        total = total.plus(store(batch))
    assert total == Tally(stored=2, duplicate=0, rejected=3)
    assert sorted(Telemetry.objects.values_list("msg_id", flat=True)) == ["2", "4"]
    assert the_reason() == Reason.MSG_ID_REUSED


def test_an_array_that_came_in_part_before_stores_the_rest(dev):
    store([message([{"msg_id": 1}, {"msg_id": 2}])])
    assert store([message([{"msg_id": 2}, {"msg_id": 3}])]) == Tally(stored=1, duplicate=1)


def test_an_array_that_repeats_itself_counts_the_repetition(dev):
    assert store([message([{"msg_id": 1}, {"msg_id": 1}])]) == Tally(stored=1, duplicate=1)


def test_an_unknown_device_registers_itself(t0):
    assert store([message({"temp": 1}, uid="new.1"), message({"temp": 2}, uid="new.1")]).stored == 2
    assert Device.objects.get().device_uid == "new.1"
    assert latest("new.1") == {"temp": 2}


def test_an_unknown_device_is_rejected_where_registering_is_off(t0, settings):
    settings.AUTO_REGISTER = False
    assert store([message({"temp": 1})]) == Tally(rejected=1)
    assert (the_reason(), Device.objects.count()) == (Reason.UNKNOWN_DEVICE, 0)


def test_where_devices_enrol_an_unknown_one_is_told_how(t0, settings):
    settings.AUTO_REGISTER, settings.ENROLMENT = False, True
    store([message({"temp": 1})])
    assert RejectedMessage.objects.get().detail.endswith(
        "A device has to enrol first: POST /enroll."
    )


def test_an_unknown_tenant_is_rejected_and_belongs_to_nobody(t0):
    store([message({"temp": 1}, tenant="nobody")])
    rejected = RejectedMessage.objects.get()
    assert (rejected.reason, rejected.tenant) == (Reason.UNKNOWN_TENANT, None)


def test_a_device_of_another_tenant_is_foreign(dev):
    other = Tenant.objects.create(slug="other", name="Other")
    store([message({"temp": 1}, tenant="other")])
    rejected = RejectedMessage.objects.get()
    assert (rejected.reason, rejected.tenant) == (Reason.FOREIGN_DEVICE, other)


def test_two_tenants_with_one_new_uid_get_one_device(t0):
    Tenant.objects.create(slug="other")
    batch = [message({"a": 1}, uid="x"), message({"a": 1}, uid="x", tenant="other")]
    assert store(batch) == Tally(stored=1, rejected=1)


def test_a_disabled_device_is_rejected(dev):
    Device.objects.update(is_enabled=False)
    store([message({"temp": 1})])
    assert the_reason() == Reason.DEVICE_DISABLED
    assert not DeviceState.objects.exists()


def test_a_bad_message_is_kept_as_it_came(dev):
    store([message(b'{"a": NaN}')])
    rejected = RejectedMessage.objects.get()
    assert (bytes(rejected.topic), bytes(rejected.payload)) == (
        b"t0/devices/dev-01/telemetry",
        b'{"a": NaN}',
    )
    assert (rejected.reason, rejected.device_uid, rejected.tenant.slug) == (
        Reason.NOT_FINITE,
        "dev-01",
        "t0",
    )


def test_a_malformed_topic_is_kept(t0):
    store([decode_message("t0/gadgets/x", b"{}", 1)])
    assert the_reason() == Reason.MALFORMED_TOPIC


def test_a_rejected_message_stored_again_in_a_retry_is_one_row(dev):
    bad = message(b"\xff")
    store([bad])
    store([bad])
    assert RejectedMessage.objects.count() == 1


def test_equal_bad_messages_are_two_rows(dev):
    moment = time.time_ns() // 1_000
    store([message(b"\xff", received_at=moment, number=n) for n in (1, 2)])
    assert RejectedMessage.objects.count() == 2


def test_a_failure_of_ours_in_decoding_rejects_the_message_alone(dev, monkeypatch):
    monkeypatch.setattr(incoming, "decode", lambda *_: 1 / 0)
    bad = message({"temp": 1})
    monkeypatch.undo()
    assert store([bad, message({"temp": 2})]) == Tally(stored=1, rejected=1)
    assert the_reason() == Reason.ERROR


@pytest.mark.parametrize("position", range(7))
def test_a_message_that_only_the_database_refuses_is_isolated(dev, position):
    batch = [message({"msg_id": n, "temp": n}) for n in range(7)]
    poison = batch[position].readings[0]._replace(payload=b'{"temp": }')
    batch[position] = batch[position]._replace(readings=[poison])
    assert store(batch) == Tally(stored=6, rejected=1)
    assert the_reason() == Reason.DATABASE
    assert Telemetry.objects.count() == Receipt.objects.count() == 6


def test_a_reading_without_a_partition_makes_it(dev):
    old = NOW - 300 * 86_400
    assert store([message({"ts": old, "temp": 1})]) == Tally(stored=1)
    assert Telemetry.objects.get().ts.timestamp() == pytest.approx(old, abs=1e-6)


def test_readings_from_all_over_the_history_are_stored_together(dev):
    days = (0, 40, 80, 200, 399)
    batch = [message({"ts": NOW - day * 86_400, "temp": day}) for day in days]
    assert store(batch).stored == 5


@pytest.mark.parametrize("stored_first", [True, False])
def test_many_arrays_with_one_used_id_are_rejected_in_one_go(dev, stored_first, monkeypatch):
    tries = []
    honest = insert.insert
    monkeypatch.setattr(insert, "insert", lambda *a: tries.append(1) or honest(*a))
    arrays = [message([{"msg_id": "x", "n": n}, {"msg_id": f"own-{n}"}]) for n in range(50)]
    if stored_first:
        store([message({"msg_id": "x"})])
    assert store(arrays).rejected == (100 if stored_first else 98)
    assert len(tries) <= 3


def test_arrays_that_clash_with_the_stored_and_each_other_are_rejected_in_one_go(dev, monkeypatch):
    store([message({"msg_id": n}) for n in range(50)])
    tries = []
    honest = insert.insert
    monkeypatch.setattr(insert, "insert", lambda *a: tries.append(1) or honest(*a))
    arrays = [message([{"msg_id": n, "v": 1}, {"msg_id": "c", "v": n}]) for n in range(50)]
    assert store([*arrays, message({"msg_id": "good"})]) == Tally(stored=1, rejected=100)
    assert len(tries) == 2


def test_a_message_is_not_rejected_for_one_that_is_rejected_itself(dev):
    stored, other = {"msg_id": 1, "v": "stored"}, {"msg_id": 1, "v": "other"}
    store([message(stored)])
    batch = [message(other), message(stored), message([stored, {"msg_id": 2}])]
    assert store(batch) == Tally(stored=1, duplicate=2, rejected=1)


def test_a_foreign_device_stays_foreign_where_its_id_is_reused(dev):
    Tenant.objects.create(slug="other")
    store([message({"msg_id": 1})])
    store([message({"msg_id": 1, "v": 2}), message({"msg_id": 1, "v": 3}, tenant="other")])
    reasons = RejectedMessage.objects.order_by("reason").values_list("reason", flat=True)
    assert list(reasons) == [Reason.FOREIGN_DEVICE, Reason.MSG_ID_REUSED]


def test_a_copy_of_a_message_that_reuses_an_id_takes_no_array_along(dev):
    store([message({"msg_id": 1, "v": "stored"})])
    other = {"msg_id": 1, "v": "other"}
    batch = [message(other), message([other, {"msg_id": 2}])]
    assert store(batch) == Tally(rejected=3)
    assert latest() == {"v": "stored"}


def test_what_was_learnt_of_a_batch_is_not_learnt_again(dev):
    batch = Batch([message({"msg_id": n}) for n in range(4)])
    poison = batch._messages[0].readings[0]._replace(payload=b"{")
    batch._messages[0] = batch._messages[0]._replace(readings=[poison])
    steps = 0
    while not batch.is_stored:
        batch.store_part()
        steps += 1
    # Whole, half, quarter, then that quarter as rejected, the other one, the other half.
    assert (steps, batch.tally) == (6, Tally(stored=3, rejected=1))


def test_a_batch_that_is_too_slow_is_halved(dev):
    batch = Batch([message({"msg_id": n}) for n in range(4)])
    slow = psycopg.errors.QueryCanceled("too slow")
    batch._isolate(batch._parts[-1], slow)
    assert [len(part) for part in batch._parts] == [2, 2]
    with pytest.raises(psycopg.errors.QueryCanceled):
        batch._isolate(range(1), slow)


def test_listeners_that_do_not_read_stop_nobody(dev, monkeypatch):
    monkeypatch.setattr(ingest.state, "record", full_queue := FullQueue(ingest.state.record))
    assert store([message({"temp": 1})]) == Tally(stored=1)
    assert full_queue.calls == 2
    # For the trigger that tells of commands, until the transaction ends, which is the test's here.
    with connection.cursor() as cursor:
        cursor.execute("SHOW iotplatform.quiet")
        assert cursor.fetchone() == ("on",)


def test_many_messages_of_an_unknown_tenant_take_no_more_queries(t0):
    def queries(size):
        with CaptureQueriesContext(connection) as captured:
            store([message({"n": n}, tenant="nobody") for n in range(size)])
        return len(captured)

    assert queries(1) == queries(50)


def test_a_large_rejected_message_is_cut_and_cannot_be_replayed(dev, settings):
    settings.MAX_PAYLOAD = 10
    limits.cache_clear()
    store([message(b"x" * 100)])
    limits.cache_clear()
    rejected = RejectedMessage.objects.get()
    assert (len(rejected.payload), rejected.size) == (40, 100)
    settings.MAX_PAYLOAD = 1_000
    assert replay(rejected) == "rejected"


@pytest.mark.django_db(transaction=True)
def test_a_batch_tells_listeners_which_devices_were_heard(dev):
    parameters = connection.get_connection_params()
    with psycopg.connect(**{k: parameters[k] for k in ("host", "port", "user", "dbname")}) as other:
        other.autocommit = True
        other.execute("LISTEN telemetry")
        now = int(NOW)
        store([message({"ts": ts, "temp": 1}) for ts in (now, now - 1)])
        store([message({"ts": now, "temp": 1})])
        heard, known = other.notifies(timeout=5, stop_after=2)
    first, last = Telemetry.objects.order_by("id").values_list("id", flat=True)
    start = (now - 1) * 1_000_000
    assert (heard.channel, heard.payload) == (
        "telemetry",
        f"{first}-{last} {dev.pk}:{start}+1000000",
    )
    assert known.payload == str(dev.pk)


def test_the_statements_of_a_batch_do_not_grow_with_it(dev, monkeypatch):
    executed = []

    class Counting(psycopg.Cursor):
        def execute(self, query, *args, **kwargs):
            executed.append(query)
            return super().execute(query, *args, **kwargs)

    monkeypatch.setattr(ingest.psycopg, "Cursor", Counting)

    def statements(size):
        executed.clear()
        with CaptureQueriesContext(connection) as queries:
            store([message({"msg_id": f"{size}-{n}"}) for n in range(size)])
        return len(queries) + len(executed)

    store([message({"msg_id": "first"})])
    assert statements(1) == statements(200) <= 9


def test_the_receipt_is_found_by_its_key(dev):
    Receipt.objects.bulk_create(
        Receipt(device=dev, msg_id=str(n), digest=0, received_at=datetime.now(UTC))
        for n in range(2_000)
    )
    connection.cursor().execute("ANALYZE telemetry_receipt")
    plan = Receipt.objects.filter(device=dev, msg_id="77").explain()
    assert "telemetry_receipt_pkey" in plan


def test_everything_received_is_stored_known_or_rejected(dev):
    batch = [
        message([{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 2}]),
        message([{"msg_id": 3}, {"msg_id": []}]),
        message(b"\xff"),
        message({"msg_id": 1}),
        message({"temp": 1}, tenant="nobody"),
    ]
    tally = store(batch)
    assert tally == Tally(stored=2, duplicate=2, rejected=4)
    assert tally.received == 8
    assert Telemetry.objects.count() == 2


def test_a_store_within_a_transaction_of_the_caller_may_be_repeated(dev):
    first = datetime.now(UTC) - timedelta(days=1)
    for _ in range(3):
        store([message({"ts": first.timestamp(), "temp": 1})])
    assert Telemetry.objects.count() == 1
