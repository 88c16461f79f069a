"""Addresses of commands in the API."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from accounts.models import SLUG_PATTERN
from devices.commands import views

DEVICE = rf"devices/(?P<device_uid>{SLUG_PATTERN})"

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("commands", views.CommandViewSet, basename="command")
router.register("command-batches", views.BatchViewSet, basename="command-batch")

urlpatterns = [
    re_path(rf"^{DEVICE}/command/?$", views.SendView.as_view(), name="send-command"),
    re_path(rf"^{DEVICE}/commands/?$", views.DeviceCommandsView.as_view(), name="device-commands"),
    *router.urls,
]
