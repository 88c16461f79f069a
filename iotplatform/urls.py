"""Every address of the platform."""

from django.contrib import admin
from django.http import Http404
from django.urls import path, re_path
from django.views.defaults import page_not_found
from django.views.generic import RedirectView

from iotplatform.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", healthz),
    # Django's “view on site” looks a row up by its id alone, unseen by `visible_to`; a reading's id
    # it would look for in every partition. Nothing of ours has a page there.
    re_path("^admin/r/", page_not_found, {"exception": Http404()}),
    path("admin/", admin.site.urls),
]
