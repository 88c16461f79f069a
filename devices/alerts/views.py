"""Alerts over the API: which devices are silent or offline, and were."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.filters import StrictBooleanFilter
from accounts.rest import person
from devices.models import Alert, AlertQuerySet, Device

EXAMPLE = {
    "id": 12,
    "device_uid": "dev-03",
    "rule": "Halls",
    "condition": "silent",
    "since": "2026-01-14T11:30:00Z",
    "raised_at": "2026-01-14T11:45:10Z",
    "cleared_at": None,
    "end": "",
}


@extend_schema_serializer(examples=[OpenApiExample("It is silent still", EXAMPLE)])
class AlertSerializer(serializers.ModelSerializer):
    """A device that is, or was, silent or offline for longer than a rule allows."""

    device_uid = serializers.CharField(source="device.device_uid")
    rule = serializers.CharField(source="rule.name", help_text="Name of the rule that raised it.")
    end = serializers.CharField(
        help_text="Why it was cleared: `over`, or that the `device` or the `rule` was changed; "
        "empty while it is open."
    )

    class Meta:
        model = Alert
        fields = [
            "id", "device_uid", "rule", "condition", "since", "raised_at", "cleared_at", "end",
        ]  # fmt: skip


class AlertFilters(filters.FilterSet):
    device = filters.CharFilter(method="of_device", max_length=128, help_text="Uid of a device.")
    open = StrictBooleanFilter(method="still_open", help_text="Whether it is not cleared.")
    tenant = filters.CharFilter("tenant__slug", help_text="Slug. Of use to platform staff.")

    class Meta:
        model = Alert
        fields: list[str] = []

    def of_device(self, alerts: AlertQuerySet, name: str, uid: str) -> AlertQuerySet:
        return alerts.filter(device=Device.objects.filter(device_uid=uid).values("pk")[:1])

    def still_open(self, alerts: AlertQuerySet, name: str, is_open: bool) -> AlertQuerySet:
        return alerts.filter(cleared_at__isnull=is_open)


class AlertViewSet(ListModelMixin, GenericViewSet):
    """The alerts that the user may see."""

    queryset = Alert.objects.all()
    serializer_class = AlertSerializer
    filterset_class = AlertFilters
    page_limit = 100

    def get_queryset(self) -> AlertQuerySet:
        alerts = Alert.objects.visible_to(person(self.request))
        return alerts.select_related("device", "rule")

    @extend_schema(operation_id="alerts_list", tags=["alerts"], summary="List alerts")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Devices that are silent or offline for longer than a rule allows, or were, the newest
        alert first."""
        return super().list(request, *args, **kwargs)
