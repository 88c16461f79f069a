"""Addresses of readings in the API."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from accounts.models import SLUG_PATTERN
from telemetry import views
from telemetry.live.views import LiveCommandsView, LiveTelemetryView

DEVICE = rf"telemetry/(?P<device_uid>{SLUG_PATTERN})"

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("rejected", views.RejectedViewSet, basename="rejected")

urlpatterns = [
    re_path(rf"^{DEVICE}/?$", views.ReadingsView.as_view(), name="readings"),
    re_path(rf"^{DEVICE}/latest/?$", views.LatestView.as_view(), name="latest"),
    re_path(rf"^{DEVICE}/keys/?$", views.KeysView.as_view(), name="keys"),
    re_path(rf"^{DEVICE}/series/?$", views.SeriesView.as_view(), name="series"),
    re_path(rf"^{DEVICE}/export/?$", views.ExportView.as_view(), name="export"),
    re_path(r"^live/telemetry/?$", LiveTelemetryView.as_view(), name="live-telemetry"),
    re_path(r"^live/commands/?$", LiveCommandsView.as_view(), name="live-commands"),
    *router.urls,
]
