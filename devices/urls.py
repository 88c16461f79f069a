"""Addresses of devices in the API."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from devices import views
from devices.alerts.views import AlertViewSet
from devices.bulk.views import ExportView, ImportView

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("devices", views.DeviceViewSet, basename="device")
router.register("alerts", AlertViewSet, basename="alert")
router.register("device-types", views.DeviceTypeViewSet, basename="device-type")

urlpatterns = [
    *router.urls,
    path("", include("devices.commands.urls")),
    path("", include("devices.enrolment.urls")),
    path("", include("devices.credentials.urls")),
    re_path("^import/devices/?$", ImportView.as_view(), name="import-devices"),
    re_path("^export/devices/?$", ExportView.as_view(), name="export-devices"),
]
