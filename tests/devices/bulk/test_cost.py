"""What an import asks of the database, and what happens if others work at the same time."""

import threading
import time

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from devices.bulk.files import CHUNK, Row
from devices.bulk.upsert import import_devices
from devices.models import TAKEN, Device
from tests import cast as people
from tests.devices.bulk.conftest import send


def statements(user, count: int, name: str) -> int:
    table = "".join(f"n-{number},{name},boiler\n" for number in range(count))
    with CaptureQueriesContext(connection) as captured:
        assert send(user, f"device_uid,name,type\n{table}").status_code == 200
    return len(captured)


def test_more_rows_take_no_more_statements_until_a_chunk_is_full(cast, types):
    created, updated, unchanged = (statements(cast.operator, 2, name) for name in "abb")
    assert statements(cast.operator, 300, "c") == created + 1  # Some are new, some change.
    assert statements(cast.operator, 300, "d") == updated
    assert statements(cast.operator, 300, "d") == unchanged
    Device.objects.filter(device_uid__startswith="n-").delete()
    assert statements(cast.operator, CHUNK, "a") == created
    assert statements(cast.operator, 2 * CHUNK, "a") == created


@pytest.fixture
def busy(transactional_db):
    """A cast that connections of other threads can see."""
    return people.cast()


WAITING = "SELECT 1 FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def wait_until_blocked() -> None:
    """Until another connection waits for a lock that this one holds."""
    for _ in range(1_000):
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            if cursor.fetchone():
                return
        time.sleep(0.01)
    raise AssertionError("nobody came to wait")


def meanwhile(import_, work) -> None:
    """Run `import_` in a thread while this one has done `work` and not committed it yet."""
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(import_())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        work()
        thread.start()
        wait_until_blocked()
    thread.join()
    return outcome[0]


def importing(user, *devices):
    rows = [Row(line, fields) for line, fields in enumerate(devices, 1)]
    return lambda: import_devices(user, rows, is_dry_run=False)


def test_a_device_that_announces_itself_meanwhile_is_updated(busy):
    def announce():
        Device.objects.register([(busy.t0.pk, "new-1")])

    report = meanwhile(importing(busy.operator, {"device_uid": "new-1", "name": "Roof"}), announce)
    assert [result.outcome for result in report.results] == ["updated"]
    assert Device.objects.get(device_uid="new-1").name == "Roof"


def test_a_device_that_another_tenant_takes_meanwhile_is_an_error(busy):
    def take():
        Device.objects.register([(busy.other.pk, "new-1")])

    report = meanwhile(importing(busy.operator, {"device_uid": "new-1", "name": "Roof"}), take)
    assert report.results[0].errors[0]["detail"] == TAKEN
    assert Device.objects.get(device_uid="new-1").tenant == busy.other


def test_what_others_change_meanwhile_is_kept(busy):
    people.device("dev-02", busy.t0)

    def disable():
        Device.objects.filter(pk=busy.device.pk).update(is_enabled=False)

    renamed, disabled = {"device_uid": "dev-01"}, {"device_uid": "dev-02", "is_enabled": False}
    meanwhile(importing(busy.operator, renamed | {"name": "Roof"}, disabled), disable)
    device = Device.objects.get(pk=busy.device.pk)
    assert (device.name, device.is_enabled) == ("Roof", False)


def test_a_device_that_is_deleted_meanwhile_stays_deleted(busy):
    def delete():
        Device.objects.filter(pk=busy.device.pk).retire()

    report = meanwhile(
        importing(busy.operator, {"device_uid": "dev-01", "is_enabled": True}), delete
    )
    assert report.results[0].errors[0]["detail"] == TAKEN
    assert not Device.objects.get(pk=busy.device.pk).is_enabled
