"""What becomes of the work of two at the same moment: on devices, on types, by a file."""

import threading
import time

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.urls import reverse

from devices.bulk.files import Row
from devices.bulk.rows import ATTEMPTS, BUSY
from devices.bulk.upsert import Plan, import_devices
from devices.models import TAKEN, Device, DeviceType
from tests import cast as people
from tests.devices.bulk.conftest import send

FILE = "device_uid,name\ndev-01,Roof\n"
NEW_TYPE = {"name": "sensor", "fields": "", "offline_after": "", "retention_days": ""}
NEW_DEVICE = {"device_uid": "new-1", "is_enabled": "on", "labels": "{}"}
CONSOLE = "/admin/devices"


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


def meanwhile(late, work, then=lambda: None):
    """What `late` returns in a thread, that begins when this one has done `work`.

    When it waits for that, this one does what comes `then`, and commits.
    """
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(late())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        work()
        thread.start()
        wait_until_blocked()
        then()
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


def test_devices_are_deleted_in_the_order_in_which_an_import_locks_them(busy):
    people.device("a-later-one", busy.t0)
    # Now it is behind the later one in the table and its indexes.
    Device.objects.filter(pk=busy.device.pk).update(labels={"site": "Hanoi"})

    def lock(uid: str):
        devices = Device.objects.select_for_update(no_key=True, nowait=True)
        return lambda: devices.get(device_uid=uid)

    deleting = Device.objects.filter(tenant=busy.t0).retire
    assert len(meanwhile(deleting, lock("dev-01"), then=lock("a-later-one"))) == 2


def test_a_device_that_two_delete_is_deleted_by_one_as_its_history_says(busy):
    second = people.device("dev-02", busy.t0)

    def press():
        page = reverse("admin:devices_device_delete_chosen")
        sent = {"keys": f"{busy.device.pk},{second.pk}"}
        return people.console(busy.operator).post(page, sent, follow=True)

    answer = meanwhile(press, Device.objects.filter(pk=busy.device.pk).retire)
    assert "1 device was deleted." in answer.text
    assert [entry.object_repr for entry in LogEntry.objects.all()] == ["dev-02"]


def deadlocks(monkeypatch, times: int) -> None:
    """The server chooses the next imports, so many, to end a deadlock."""
    make = Plan.make
    left = [None] * times

    def fail(plan, *args, **options):
        with connection.cursor() as cursor:
            if left:
                left.pop()
                cursor.execute("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$")
        return make(plan, *args, **options)

    monkeypatch.setattr(Plan, "make", fail)


def test_an_import_that_ended_a_deadlock_begins_anew(cast, monkeypatch):
    deadlocks(monkeypatch, times=1)
    assert send(cast.operator, FILE).json()["updated"] == 1


def test_an_import_that_gets_no_turn_says_so(cast, monkeypatch):
    deadlocks(monkeypatch, times=ATTEMPTS)
    answer = send(cast.operator, FILE)
    assert (answer.status_code, answer.json()["detail"]) == (409, BUSY)


def test_the_console_says_so_as_well(cast, monkeypatch):
    deadlocks(monkeypatch, times=ATTEMPTS)
    file = SimpleUploadedFile("devices.csv", FILE.encode())
    answer = people.console(cast.operator).post(
        f"{CONSOLE}/device/import/", {"file": file, "import": "1"}
    )
    assert answer.status_code == 200
    assert str(BUSY) in answer.text


def in_console(user, page: str, **sent):
    """What is wrong with a form that is sent while somebody else does the same."""
    client = people.console(user)

    def errors() -> set[str]:
        answer = client.post(f"{CONSOLE}/{page}", sent)
        return set(answer.context["adminform"].form.errors) if answer.context else set()

    return errors


def over_the_api(method, user, url: str, **sent):
    client = people.api(user)
    return lambda: getattr(client, method)(url, sent).status_code


def making(name: str, tenant=None):
    """Somebody who makes a type, by the door that both have in common."""

    def make() -> None:
        kind = DeviceType(name=name, tenant=tenant)
        kind.full_clean()
        kind.save()

    return make


@pytest.mark.parametrize("tenant", [None, "t0"])
def test_of_two_who_make_a_type_of_one_name_one_is_told(busy, tenant):
    make = making("sensor", tenant and busy.t0)
    assert meanwhile(over_the_api("post", busy.admin, "/device-types", name="sensor"), make) == 409
    assert DeviceType.objects.count() == 1


def test_a_type_gets_no_name_that_another_is_getting(busy):
    kind = DeviceType.objects.create(name="probe", tenant=busy.t0)
    rename = over_the_api("patch", busy.admin, f"/device-types/{kind.pk}", name="sensor")
    assert meanwhile(rename, making("sensor")) == 409
    assert DeviceType.objects.filter(name="sensor").count() == 1


@pytest.mark.parametrize("tenant", [None, "t0"])
def test_the_console_tells_that_a_name_was_taken_a_moment_ago(busy, tenant):
    adding = in_console(busy.admin, "devicetype/add/", **NEW_TYPE)
    assert meanwhile(adding, making("sensor", tenant and busy.t0)) == {"name"}
    assert DeviceType.objects.count() == 1


def test_the_console_tells_that_a_uid_was_taken_a_moment_ago(busy):
    def announce():
        Device.objects.register([(busy.other.pk, "new-1")])

    adding = in_console(busy.operator, "device/add/", **NEW_DEVICE)
    assert meanwhile(adding, announce) == {"device_uid"}
    assert Device.objects.get(device_uid="new-1").tenant == busy.other


def test_the_console_tells_that_a_type_was_deleted_a_moment_ago(busy):
    kind = DeviceType.objects.create(name="probe", tenant=busy.t0)
    adding = in_console(busy.operator, "device/add/", **NEW_DEVICE, type=kind.pk)
    assert meanwhile(adding, kind.delete) == {"type"}
