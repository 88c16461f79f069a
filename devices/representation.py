"""A device as the API shows it, made by PostgreSQL; `devices/serializers.py` describes it."""

from django.db.models import JSONField, Value
from django.db.models.functions import Coalesce

from accounts.rest import JSONRow
from devices.facts import DATA_FLOW, DATA_FLOW_REASON, DATA_FLOW_SINCE, SESSION_REASON

DEVICE_JSON = JSONRow(
    device_uid="device_uid",
    name="name",
    tenant="tenant__slug",
    type="type__name",
    is_enabled="is_enabled",
    labels="labels",
    session=Coalesce("state__session", Value("unknown")),
    session_since="state__since",
    session_reason=SESSION_REASON,
    data_flow=DATA_FLOW,
    data_flow_since=DATA_FLOW_SINCE,
    data_flow_reason=DATA_FLOW_REASON,
    last_seen_at="state__last_seen_at",
    # Optimization: as it is stored. To name value and time of each would take as long as all the
    # rest; of one device, GET /telemetry/{device_uid}/latest does.
    latest=Coalesce("state__latest", Value({}, JSONField())),
    created_at="created_at",
)
