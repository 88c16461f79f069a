"""Addresses of readings in the API."""

from django.urls import re_path

from accounts.models import SLUG_PATTERN
from telemetry import views

DEVICE = rf"telemetry/(?P<device_uid>{SLUG_PATTERN})"

urlpatterns = [
    re_path(rf"^{DEVICE}/?$", views.ReadingsView.as_view(), name="readings"),
]
