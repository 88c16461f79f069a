"""How long readings are kept: whole weeks, and less where a type or a tenant says so."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from devices.models import Device, DeviceType
from telemetry import partitions
from telemetry.ingest import store
from telemetry.models import Telemetry
from telemetry.upkeep.readings import outlived
from tests.cast import NOON, readings
from tests.queries import plan_of
from tests.telemetry.conftest import message
from tests.telemetry.upkeep.conftest import maintain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_old_week")]
KEEPS = "type or tenant keeps them"


@pytest.fixture
def kept_a_week(dev):
    """A type that keeps readings for a week, of which dev-01 is; dev-02 is of none."""
    kind = DeviceType.objects.create(name="sensor", tenant=dev.tenant, retention_days=7)
    Device.objects.filter(pk=dev.pk).update(type=kind)
    now = datetime.now(UTC)
    for uid in ("dev-01", "dev-02"):
        days = (8, 7.01, 6.99, 0)
        store(
            [message({"ts": (now - timedelta(days=d)).timestamp(), "d": d}, uid=uid) for d in days]
        )
    return kind


def days_kept(uid):
    kept = Telemetry.objects.filter(device__device_uid=uid).order_by("ts")
    return [reading.payload.get("d") for reading in kept]


def test_readings_are_deleted_when_the_type_of_their_device_keeps_them_no_longer(kept_a_week):
    assert f"{KEEPS}: 3 deleted" in maintain()
    assert days_kept("dev-01") == [6.99, 0]
    assert days_kept("dev-02") == [8, 7.01, 6.99, 0]
    assert f"{KEEPS}: 0 deleted" in maintain()


def test_many_old_readings_are_deleted_chunk_by_chunk(kept_a_week, monkeypatch):
    monkeypatch.setattr("telemetry.upkeep.readings.CHUNK_ROWS", 2)
    monkeypatch.setattr("telemetry.upkeep.readings.FEW", 3)
    monkeypatch.setattr("telemetry.upkeep.readings.DEVICES", 1)
    moment = datetime.now(UTC) - timedelta(days=20)
    # Of one moment there may be more than a chunk holds.
    for n in range(5):
        store([message({"ts": moment.timestamp(), "n": n})])
        store([message({"ts": (moment + timedelta(seconds=n)).timestamp(), "m": n})])
    assert f"{KEEPS}: 13 deleted" in maintain()
    assert days_kept("dev-01") == [6.99, 0]


@pytest.mark.parametrize("days", [None, 400, 36_500])
def test_a_type_that_keeps_readings_no_shorter_than_the_platform_deletes_none(kept_a_week, days):
    DeviceType.objects.update(retention_days=days)
    assert f"{KEEPS}: 0 deleted" in maintain()


@pytest.mark.parametrize(
    ("of_tenant", "of_type", "kept", "kept_without_type"),
    [
        (5, None, [0], [0]),
        (5, 36_500, [0], [0]),
        (29, 7, [6.99, 0], [8, 7.01, 6.99, 0]),
    ],
)
def test_the_fewer_days_of_tenant_and_type_hold(
    kept_a_week, of_tenant, of_type, kept, kept_without_type
):
    """An admin makes types and gives them to devices; of the tenant only staff say it."""
    Tenant.objects.update(retention_days=of_tenant)
    DeviceType.objects.update(retention_days=of_type)
    maintain()
    assert days_kept("dev-01") == kept
    assert days_kept("dev-02") == kept_without_type


@pytest.mark.parametrize("what", [Tenant(slug="t"), DeviceType(name="sensor")])
def test_nobody_may_promise_more_than_the_platform_keeps(settings, db, what):
    settings.HISTORY_DAYS = 20
    what.retention_days = 20
    what.full_clean(exclude=["name"])
    what.retention_days = 21
    with pytest.raises(ValidationError, match=r"for 20 days \(HISTORY_DAYS\), and none for longer"):
        what.full_clean(exclude=["name"])


def test_what_a_type_keeps_no_longer_is_only_counted_in_a_dry_run(kept_a_week):
    assert f"{KEEPS}: 3 to be deleted" in maintain("--dry-run")
    assert days_kept("dev-01") == [None, 8, 7.01, 6.99, 0]


def test_a_device_without_old_readings_costs_a_look_at_an_index(kept_a_week, dev):
    DeviceType.objects.update(retention_days=100)
    readings(dev, 3_000, every=timedelta(seconds=1))
    week = partitions.name_of(partitions.week_of(NOON))
    connection.cursor().execute(f"ANALYZE {week}")
    with CaptureQueriesContext(connection) as captured:
        list(outlived(NOON + timedelta(days=99), NOON - timedelta(days=400)))
    (statement,) = [query["sql"] for query in captured if week in query["sql"]]
    (node,) = [node for node in plan_of(statement) if node.get("Relation Name") == week]
    assert node["Index Name"] == f"{week}_pkey"
