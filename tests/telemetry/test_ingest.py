"""The one write: what is stored, known already, rejected; and what the device's state becomes."""

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from devices.models import Device, DeviceState
from telemetry import ingest
from telemetry.ingest import Tally, store
from telemetry.models import Receipt, RejectedMessage, Telemetry
from telemetry.reasons import Reason
from tests.telemetry.conftest import message

pytestmark = pytest.mark.django_db

NOW = time.time()


def the_reason():
    return RejectedMessage.objects.get().reason


def latest(uid="dev-01"):
    return {
        key: value
        for key, (value, _) in DeviceState.objects.get(device__device_uid=uid).latest.items()
    }


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
    store([ingest.decode_message("t0/gadgets/x", b"{}", 1)])
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
    monkeypatch.setattr(ingest, "decode", lambda *_: 1 / 0)
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


def test_latest_values_move_each_by_its_own_time(dev):
    store([message({"ts": NOW - 10, "temp": 1, "hum": 1})])
    store([message({"ts": NOW - 20, "temp": 2, "bat": 2}), message({"ts": NOW - 5, "hum": 3})])
    assert latest() == {"temp": 1, "hum": 3, "bat": 2}
    store([message({"ts": NOW - 15, "temp": 4, "hum": 4, "bat": 4})])
    assert latest() == {"temp": 1, "hum": 3, "bat": 4}


def test_latest_values_have_their_time_in_milliseconds(dev):
    store([message({"ts": 1_000 * round(NOW), "temp": 1})])
    assert DeviceState.objects.get().latest == {"temp": [1, 1_000 * round(NOW)]}


def test_ts_and_msg_id_are_no_latest_values(dev):
    store([message({"ts": NOW, "msg_id": 1, "temp": 1})])
    store([message({"ts": NOW, "values": {"temp": 2, "msg_id": 5}})])
    assert latest() == {"temp": 2}


def test_latest_values_of_a_device_that_invents_keys_start_over(dev, monkeypatch):
    monkeypatch.setattr("devices.state.LATEST_SIZE", 2_000)
    for start in range(0, 400, 100):
        store([message({f"key-{n}": n for n in range(start, start + 100)})])
    assert len(latest()) < 400
    assert latest()["key-399"] == 399


def test_every_accepted_message_moves_last_seen(dev):
    store([message({"msg_id": 1}, received_at=10**15)])
    store([message({"msg_id": 1}, received_at=2 * 10**15)])
    assert DeviceState.objects.get().last_seen_at.timestamp() == 2 * 10**9


def test_last_seen_never_goes_back(dev):
    for moment in (2 * 10**15, 10**15):
        store([message({"msg_id": moment}, received_at=moment)])
    assert DeviceState.objects.get().last_seen_at.timestamp() == 2 * 10**9


@pytest.mark.django_db(transaction=True)
def test_a_batch_tells_listeners_which_devices_were_heard(dev):
    parameters = connection.get_connection_params()
    with psycopg.connect(**{k: parameters[k] for k in ("host", "port", "user", "dbname")}) as other:
        other.autocommit = True
        other.execute("LISTEN telemetry")
        store([message({"temp": 1}), message({"temp": 2})])
        (heard,) = other.notifies(timeout=5, stop_after=1)
    assert (heard.channel, heard.payload) == ("telemetry", str(dev.pk))


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
    assert statements(1) == statements(200) <= 8


def test_the_receipt_is_found_by_its_key(dev):
    Receipt.objects.bulk_create(
        Receipt(device=dev, msg_id=str(n), digest=0, received_at=datetime.now(UTC))
        for n in range(2_000)
    )
    connection.cursor().execute("ANALYZE telemetry_receipt")
    plan = Receipt.objects.filter(device=dev, msg_id="77").explain()
    assert "telemetry_receipt_pkey" in plan


def test_statuses_are_followed(dev):
    online = message({"state": "online", "session": "s1"}, kind="status")
    assert store([online]) == Tally()
    state = DeviceState.objects.get()
    assert (state.session, state.session_id, state.reason) == ("online", "s1", "")
    assert state.since.timestamp() * 1e6 == pytest.approx(online.received_at, abs=1)


def test_the_end_of_an_earlier_session_is_ignored(dev):
    store([message({"state": "online", "session": "s2"}, kind="status")])
    store([message({"state": "offline", "session": "s1"}, kind="status")])
    assert DeviceState.objects.get().session == "online"
    store([message({"state": "offline", "session": "s2", "reason": "sleep"}, kind="status")])
    state = DeviceState.objects.get()
    assert (state.session, state.reason) == ("offline", "sleep")


def test_a_repeated_status_does_not_move_since(dev):
    for moment in (10**15, 2 * 10**15):
        store([message(b"online", kind="status", received_at=moment)])
    assert DeviceState.objects.get().since.timestamp() == 10**9


def test_status_and_readings_of_one_batch_meet_in_one_state(dev):
    store([message({"temp": 1}), message(b"online", kind="status"), message({"temp": 2})])
    state = DeviceState.objects.get()
    assert (state.session, state.latest["temp"][0]) == ("online", 2)


def test_a_bad_status_is_rejected(dev):
    assert store([message(b"maybe", kind="status")]) == Tally(rejected=1)
    assert the_reason() == Reason.BAD_STATUS


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
