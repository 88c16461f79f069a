"""Deleting rows of a table in chunks, and devices with all they ever said."""

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from devices.models import Device
from telemetry import partitions
from telemetry.models import RejectedMessage

CHUNK_ROWS = 10_000


def delete(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete `rows`, a chunk a transaction, and say how many of them themselves are gone."""
    everything = rows.model._default_manager
    while chunk := list(rows.values_list("pk", flat=True)[:CHUNK_ROWS]):
        with transaction.atomic():
            # Nobody adds to what belongs to them meanwhile.
            list(everything.filter(pk__in=chunk).order_by("pk").select_for_update().values("pk"))
            everything.filter(pk__in=chunk).delete()
        yield len(chunk)


def erase(device: Device) -> int:
    """Delete a device for good with all it ever said, the device itself last."""
    for week in partitions.existing():
        _delete_of(device, partitions.name_of(week))
    _delete_of(device, "telemetry_receipt")
    rejected = RejectedMessage.objects.filter(tenant=device.tenant_id)
    sum(delete(rejected.filter(device_uid=device.device_uid)))
    sum(delete(device.commands.order_by("number")))
    device.delete()
    return 1


def _delete_of(device: Device, table: str) -> None:
    """Delete a device's rows of `table`, a chunk a transaction, by the index on `device_id`."""
    query = (
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM {table} WHERE device_id = %s LIMIT {CHUNK_ROWS}))"
    )
    deleted = CHUNK_ROWS
    with connection.cursor() as cursor:
        while deleted == CHUNK_ROWS:
            cursor.execute(query, [device.pk])
            deleted = cursor.rowcount
