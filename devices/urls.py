"""Addresses of devices in the API."""

from rest_framework.routers import SimpleRouter

from devices import views

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("devices", views.DeviceViewSet, basename="device")
router.register("device-types", views.DeviceTypeViewSet, basename="device-type")

urlpatterns = router.urls
