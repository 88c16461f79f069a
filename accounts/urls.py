"""Addresses of accounts in the API."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from accounts import views

router = SimpleRouter()
router.trailing_slash = "/?"  # Optional; the constructor knows only with and without.
router.register("users", views.UserViewSet, basename="user")
router.register("tenants", views.TenantViewSet, basename="tenant")

urlpatterns = [
    re_path("^auth/login/?$", views.LoginView.as_view(), name="login"),
    re_path("^auth/refresh/?$", views.RefreshView.as_view(), name="refresh"),
    re_path("^auth/logout/?$", views.LogoutView.as_view(), name="logout"),
    re_path("^auth/me/?$", views.MeView.as_view(), name="me"),
    re_path("^auth/password/?$", views.PasswordView.as_view(), name="password"),
    *router.urls,
]
