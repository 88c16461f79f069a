"""What the tests of telemetry share."""

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

from accounts.models import Tenant
from devices.models import Device, DeviceState
from telemetry import partitions
from telemetry.incoming import decode_message

# Machines are shared: no stopwatch.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def t0(db):
    # A test with transactions of its own leaves empty tables behind.
    return Tenant.objects.get_or_create(slug="t0")[0]


@pytest.fixture
def dev(t0):
    """The device dev-01 of t0, and the partitions of these days."""
    partitions.make_ahead(datetime.now(UTC))
    return Device.objects.create(device_uid="dev-01", tenant=t0)


def message(body, uid="dev-01", tenant="t0", kind="telemetry", **overrides):
    """A decoded message; a body that is no bytes is sent as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    overrides.setdefault("received_at", time.time_ns() // 1_000)
    return decode_message(f"{tenant}/devices/{uid}/{kind}", payload, **overrides)


def latest(uid="dev-01"):
    """The latest values of a device, without their times."""
    return {
        key: value
        for key, (value, _) in DeviceState.objects.get(device__device_uid=uid).latest.items()
    }
