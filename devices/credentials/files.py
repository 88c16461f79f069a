"""Files of credentials: new ones, whose tokens are in no other place, and those to be imported."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.status import HTTP_201_CREATED

from accounts.files import csv_text
from accounts.models import Tenant
from accounts.words import number
from devices.bulk.files import MOST_ROWS, Table, with_apostrophe, without_apostrophe
from devices.credentials.issuing import Issued
from devices.models import Device, DeviceQuerySet

COLUMNS = ["device_uid", "username", "client_id", "token", "expires_at", "topic_prefix"]
TOO_MANY = _("These are more than {most} devices. Choose fewer at a time, as by labels.")


def chosen(devices: DeviceQuerySet) -> list[Device]:
    """The devices, if they are no more than one file may hold."""
    found = list(devices.only("device_uid", "tenant_id").order_by("pk")[: MOST_ROWS + 1])
    if len(found) > MOST_ROWS:
        raise ValidationError(TOO_MANY.format(most=number(MOST_ROWS)), "too_many")
    return found


def file_of(issued: Collection[Issued], kind: str) -> HttpResponse:
    """The one download of new tokens; `kind` is csv or json.

    Made before it is sent, whole and with its length: nothing may fail once they are committed.
    """
    rows = list(rows_of(issued))
    body = json_file(rows) if kind == "json" else csv_file(rows)
    content_type = "application/json" if kind == "json" else "text/csv; charset=utf-8"
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="credentials.{kind}"',
    }
    return HttpResponse(body, status=HTTP_201_CREATED, content_type=content_type, headers=headers)


def rows_of(issued: Collection[Issued]) -> Iterator[dict[str, Any]]:
    """Column → value, for each new credential; in the order of uids."""
    tenants = {each.credential.device.tenant_id for each in issued}
    slugs = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "slug"))
    for credential, token in sorted(issued, key=lambda each: each.credential.device.device_uid):
        device, end = credential.device, credential.expires_at
        uid = device.device_uid
        prefix = f"{slugs[device.tenant_id]}/devices/{uid}"
        values = uid, uid, uid, token, end.isoformat() if end else None, prefix
        yield dict(zip(COLUMNS, values, strict=True))


def csv_file(rows: Collection[dict[str, Any]]) -> bytes:
    cells = ([with_apostrophe(value or "") for value in row.values()] for row in rows)
    return csv_text([COLUMNS, *cells])


def json_file(rows: Collection[dict[str, Any]]) -> bytes:
    lines = ",\n".join(map(json.dumps, rows))
    return f"[{lines}]\n".encode()


def fields_of(cells: dict[str, str]) -> dict[str, Any]:
    """What a row of a file to be imported says.

    A token stays as it is: its apostrophe may be its own. No end is as if there were no such cell.
    """
    fields = dict(cells)
    fields["device_uid"] = without_apostrophe(cells["device_uid"])
    if not fields.get("expires_at", "").strip():
        fields.pop("expires_at", None)
    return fields


TOKENS = Table(
    ["device_uid", "token", "expires_at"], ["device_uid", "token"], fields_of, is_secret=True
)
