"""Addresses of credentials in the API."""

from django.urls import re_path

from devices.commands.urls import DEVICE
from devices.credentials import views

CREDENTIALS = f"{DEVICE}/credentials"

urlpatterns = [
    re_path(rf"^{CREDENTIALS}/?$", views.CredentialsView.as_view(), name="credentials"),
    re_path(
        rf"^{CREDENTIALS}/(?P<id>[0-9]+)/?$", views.CredentialView.as_view(), name="credential"
    ),
    re_path(rf"^{DEVICE}/access/?$", views.AccessView.as_view(), name="access"),
    re_path("^credentials/?$", views.IssueToManyView.as_view(), name="issue-credentials"),
    re_path("^import/credentials/?$", views.ImportTokensView.as_view(), name="import-credentials"),
]
