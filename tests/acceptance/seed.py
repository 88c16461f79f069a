"""What a small plant has said within a day, for `manage.py shell` of a demo; prints a device's key.

Everything goes through the doors that devices and people use.
"""

import json
import math
import sys
from datetime import UTC, datetime, timedelta

from accounts.models import Tenant, User
from devices.commands.sending import Order, send
from devices.models import Device, DeviceType
from telemetry.incoming import Incoming, decode_message
from telemetry.ingest import store
from telemetry.models import MessageCount

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
GAP = (timedelta(hours=3), timedelta(hours=4))
FIELDS = {
    "temperature": {"label": "Temperature", "unit": "°C", "min": -10, "max": 45},
    "humidity": {"label": "Humidity", "unit": "%", "min": 0, "max": 100},
    "battery": {"label": "Battery", "unit": "%", "min": 20},
}


def message(uid: str, kind: str, body: str, age: timedelta = timedelta()) -> Incoming:
    at = int((NOW - age).timestamp() * 1_000_000)
    return decode_message(f"t0/devices/{uid}/{kind}", body.encode(), at)


def day_of(uid: str, phase: float, end: timedelta = timedelta()) -> list[Incoming]:
    """Readings of a day, one every five minutes, with an hour in which there were none."""
    messages = []
    for minutes in range(24 * 60, int(end.total_seconds() / 60), -5):
        age = timedelta(minutes=minutes)
        if GAP[0] < age < GAP[1]:
            continue
        turn = 2 * math.pi * minutes / (24 * 60) + phase
        body = {
            "ts": (NOW - age).isoformat(),
            "temperature": round(22 + 4 * math.sin(turn) + 0.3 * math.sin(17 * turn), 2),
            "humidity": round(55 - 9 * math.sin(turn) + math.sin(23 * turn), 1),
            "battery": round(74 + minutes / 120, 1),
        }
        messages.append(message(uid, "telemetry", json.dumps(body), age))
    return messages


tenant = Tenant.objects.get(slug="t0")
operator = User.objects.get(email="operator@example.com")
kind, _ = DeviceType.objects.get_or_create(
    tenant=tenant, name="Climate sensor", defaults={"offline_after": 900, "fields": FIELDS}
)
for number in range(1, 13):
    age = timedelta(hours=5) if number in (4, 9) else timedelta(minutes=1)
    uid = f"hall-{number:02}"
    store(day_of(uid, number / 3, end=age))
    away = number in (9, 11)
    said = {"state": "offline" if away else "online", "session": "1"}
    store([message(uid, "status", json.dumps(said), age)])
demo = [f"dev-{number:02}" for number in range(1, 6)]
store([each for place, uid in enumerate(demo) for each in day_of(uid, place / 2)])
Device.objects.filter(tenant=tenant).update(type=kind)
for device in Device.objects.filter(tenant=tenant):
    device.name = f"Hall {device.device_uid[-2:]}, {'north' if device.pk % 2 else 'south'}"
    device.labels = {"site": "Hanoi" if device.pk % 3 else "Huế", "floor": str(device.pk % 4)}
    device.save(update_fields=["name", "labels"])
store(message("hall-03", "telemetry", '{"temperature": NaN}', timedelta(minutes=n)) for n in (3, 9))
store(message("hall-05", "telemetry", '{"msg_id": {}, "t": 1}', timedelta(hours=n)) for n in (1, 2))
store([message("hall-07", "telemetry", '{"ts": 1000000000, "temperature": 20}')])
shown = Device.objects.get(device_uid="dev-01")
send(Order("set_interval", {"seconds": 1}), shown, operator)
send(Order("reboot", {"delay": 1}), shown, operator)
send(Order("reboot", {}, timedelta(days=7)), Device.objects.get(device_uid="hall-09"), operator)
# It came within seconds, and is drawn as if it had come in time.
counted = MessageCount.objects.filter(tenant_id=tenant.pk, stored__gt=300)
counted.delete()
MessageCount.objects.bulk_create(
    MessageCount(
        minute=NOW.replace(second=0, microsecond=0) - timedelta(minutes=minutes),
        tenant_id=tenant.pk,
        writer=0,
        stored=260 + round(40 * math.sin(minutes / 25)) + minutes % 7,
        duplicate=0,
        rejected=max(0, 14 - abs(minutes - 70)) + (minutes % 45 == 3),
    )
    for minutes in range(1, 180)
)
sys.stdout.write(str(shown.pk))
