"""Since when readings come without a pause longer than the type's patience."""

import pytest

from devices.models import Device, DeviceState, DeviceType
from telemetry.ingest import store
from telemetry.models import RejectedMessage
from telemetry.replay import replay
from tests.telemetry.conftest import message

pytestmark = pytest.mark.django_db

# Seconds since 1970 at which these stories begin.
START = 10**9


@pytest.fixture
def patient(dev):
    """A device that may be silent for a minute."""
    dev.type = DeviceType.objects.create(name="sensor", offline_after=60)
    dev.save()
    return dev


def reading(at, n=None, body=None, kind="telemetry"):
    """A message of that many seconds after the START."""
    body = {"msg_id": n or int(1000 * at)} if body is None else body
    return message(body, kind=kind, received_at=int((START + at) * 1_000_000))


def flow():
    """Since when, and until when so far, in seconds after the START."""
    state = DeviceState.objects.get()
    return tuple(round(at.timestamp() - START, 3) for at in (state.data_since, state.data_at))


def test_the_first_reading_begins_the_flow(patient):
    store([reading(1)])
    assert flow() == (1, 1)


@pytest.mark.parametrize("pauses", [(0.5, 1, 0.5), (30, 60, 59.5), (1, 60, 1)])
def test_pauses_up_to_the_patience_of_the_type_do_not_interrupt_it(patient, pauses):
    at = 0
    store([reading(0)])
    for pause in pauses:
        at += pause
        store([reading(at)])
    assert flow() == (0, at)


def test_a_longer_pause_begins_it_anew(patient):
    for at in (0, 60.001, 70):
        store([reading(at)])
    assert flow() == (60.001, 70)


def test_pauses_within_a_batch_count_too(patient):
    """The database was away for as long."""
    store([reading(at) for at in (0, 50, 150, 200, 300, 310)])
    assert flow() == (300, 310)


def test_a_pause_before_a_batch_counts_for_all_of_it(patient):
    store([reading(0)])
    store([reading(100), reading(130), reading(131)])
    assert flow() == (100, 131)


def test_without_a_type_any_pause_is_short_enough(dev):
    for at in (0, 10**6):
        store([reading(at)])
    assert flow() == (0, 10**6)


def test_a_batch_that_commits_late_moves_nothing_back(patient):
    store([reading(0)])
    store([reading(50)])
    store([reading(40), reading(45)])
    assert flow() == (0, 50)


def test_a_duplicate_shows_that_the_device_still_sends(patient):
    store([reading(0, n=1)])
    store([reading(50, n=1)])
    assert flow() == (0, 50)


@pytest.mark.parametrize(
    ("body", "kind"), [(b"online", "status"), (b"\xff", "telemetry"), ([], "telemetry")]
)
def test_nothing_but_readings_is_data(patient, body, kind):
    store([reading(0, body=body, kind=kind)])
    assert not DeviceState.objects.filter(data_at__isnull=False).exists()


def test_a_replayed_reading_came_when_it_came(patient):
    Device.objects.update(is_enabled=False)
    store([reading(5)])
    Device.objects.update(is_enabled=True)
    replay(RejectedMessage.objects.get())
    assert flow() == (5, 5)


def test_devices_of_one_batch_have_each_a_flow_of_their_own(patient):
    store([reading(0)])
    others = [
        message({"n": n}, uid=f"dev-{n}", received_at=(START + 100 + n) * 1_000_000)
        for n in range(10, 13)
    ]
    store([*others, reading(59)])
    states = DeviceState.objects.order_by("device__device_uid")
    assert [s.data_since.timestamp() - START for s in states] == [0, 110, 111, 112]
