"""A device as the API shows it, made by PostgreSQL; `devices/serializers.py` describes it."""

from django.db.models import JSONField, Value
from django.db.models.functions import Coalesce

from accounts.rest import JSONRow

DEVICE_JSON = JSONRow(
    device_uid="device_uid",
    name="name",
    tenant="tenant__slug",
    type="type__name",
    is_enabled="is_enabled",
    labels="labels",
    session=Coalesce("state__session", Value("unknown")),
    session_since="state__since",
    last_seen_at="state__last_seen_at",
    # Optimization: as it is stored. To name value and time of each would take as long as all the
    # rest; of one device, GET /telemetry/{device_uid}/latest does.
    latest=Coalesce("state__latest", Value({}, JSONField())),
    created_at="created_at",
)
