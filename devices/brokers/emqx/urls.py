"""Where EMQX asks."""

from django.urls import path

from devices.brokers.emqx import views

BEFORE = "internal/mqtt/"

urlpatterns = [
    path(f"{BEFORE}auth", views.auth, name="emqx-auth"),
    path(f"{BEFORE}acl", views.acl, name="emqx-acl"),
]
