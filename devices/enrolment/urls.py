"""Addresses of enrolment in the API."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from devices.enrolment import views

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("enrolment-keys", views.KeyViewSet, basename="enrolment-key")

urlpatterns = [
    re_path("^enroll/?$", views.EnrolView.as_view(), name="enroll"),
    *router.urls,
]
