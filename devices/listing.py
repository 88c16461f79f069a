"""The first page of all devices: the read that every app repeats all day."""

from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection

from accounts.models import User
from devices.models import Device, DeviceQuerySet

ORDER = ["device_uid"]
NOBODYS_TENANT = -1


class Row(NamedTuple):
    """A device as JSON, and its place in the list."""

    json: str
    device_uid: str


def all_of(user: User) -> DeviceQuerySet:
    """The devices that `user` may see, in the usual order."""
    return Device.objects.visible_to(user).order_by(*ORDER)


def first_of(user: User, limit: int) -> list[Row]:
    """The first `limit` of `all_of(user)`.

    Optimization: to make the statement takes longer than to answer it, so it is made once; nothing
    differs between people but the tenant.
    """
    sql, parameters = statement(user.sees_all_tenants, limit)
    tenant = [user.works_in_id if each == NOBODYS_TENANT else each for each in parameters]
    with connection.cursor() as cursor:
        cursor.execute(sql, tenant)
        return [Row._make(row) for row in cursor.fetchall()]


@lru_cache(maxsize=64)
def statement(all_tenants: bool, limit: int) -> tuple[str, tuple[Any, ...]]:
    somebody = User(is_superuser=all_tenants, tenant_id=NOBODYS_TENANT)
    rows = all_of(somebody).as_json().values_list(*Row._fields)[:limit]
    sql, parameters = rows.query.sql_with_params()
    return sql, tuple(parameters)
