"""What an import asks of the database."""

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.bulk.files import CHUNK
from devices.models import Device
from tests.devices.bulk.conftest import send


def statements(user, count: int, name: str) -> int:
    table = "".join(f"n-{number},{name},boiler\n" for number in range(count))
    with CaptureQueriesContext(connection) as captured:
        assert send(user, f"device_uid,name,type\n{table}").status_code == 200
    return len(captured)


def test_more_rows_take_no_more_statements_until_a_chunk_is_full(cast, types):
    ContentType.objects.get_for_model(Device)  # Kept by a process that has asked for it once.
    created, updated, unchanged = (statements(cast.operator, 2, name) for name in "abb")
    assert statements(cast.operator, 300, "c") == created + 2  # Some are new, some change.
    assert statements(cast.operator, 300, "d") == updated
    assert statements(cast.operator, 300, "d") == unchanged
    Device.objects.filter(device_uid__startswith="n-").delete()
    assert statements(cast.operator, CHUNK, "a") == created
    assert statements(cast.operator, 2 * CHUNK, "a") == created
