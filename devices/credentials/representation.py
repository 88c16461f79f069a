"""Credentials as the API shows them, made by PostgreSQL; never a token, nor what is kept of one.

`devices/credentials/serializers.py` describes them.
"""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q
from django.db.models.functions import Now

from accounts.rest import JSONRow
from devices.models import Device

IS_IN_FORCE = ExpressionWrapper(
    Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=Now())),
    output_field=BooleanField(),
)
FURTHER = ArraySubquery(
    Device.objects.filter(gateways=OuterRef("pk"), deleted_at__isnull=True)
    .order_by("device_uid")
    .values("device_uid")
)
FIELDS: dict[str, Any] = {
    "id": "id",
    "device_uid": "device__device_uid",
    "origin": "origin",
    "created_at": "created_at",
    "created_by": "created_by__email",
    "expires_at": "expires_at",
    "revoked_at": "revoked_at",
    "last_used_at": "last_used_at",
    "is_in_force": IS_IN_FORCE,
    "gateway_for": FURTHER,
}
CREDENTIAL = JSONRow(**FIELDS)
