"""What people did to many devices, with an entry on the page “History” of each."""

from collections.abc import Collection
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection

from accounts.models import User
from devices.models import Device

# Optimization: one statement, which saves ten thousand objects, and as many parameters nine times.
RECORD = """
INSERT INTO django_admin_log (
    action_time, object_id, object_repr, action_flag, change_message, content_type_id, user_id
)
SELECT statement_timestamp(), id::text, device_uid, %(flag)s, %(said)s, %(type)s, %(by)s
FROM devices_device WHERE id = ANY(%(devices)s) ORDER BY id
"""


def record_devices(by: User, flag: int, devices: Collection[int], said: str) -> None:
    """Note for each device, given by its number, what `by` did: ADDITION and so on, and words."""
    values: dict[str, Any] = {
        "devices": list(devices),
        "flag": flag,
        "said": said,
        "type": ContentType.objects.get_for_model(Device).pk,
        "by": by.pk,
    }
    if devices:
        with connection.cursor() as cursor:
            cursor.execute(RECORD, values)
