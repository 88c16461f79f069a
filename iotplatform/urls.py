"""Every address of the platform."""

from django.contrib import admin
from django.http import Http404
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.utils.functional import lazy
from django.views.decorators.cache import cache_page
from django.views.defaults import page_not_found
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from iotplatform.health import healthz, readyz
from iotplatform.metrics.views import metrics

HOUR = 3600

# Optimization: what apps ask for all day comes first; each pattern before it is tried in vain.
urlpatterns = [
    path("", include("telemetry.urls")),
    path("", include("devices.urls")),
    path("", include("accounts.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    # Browsers ask for it where a page names no icon.
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("accounts/favicon.svg"))),
    # Found here by people; EMQX itself comes by a shorter way (devices/brokers/emqx/middleware.py).
    path("", include("devices.brokers.emqx.urls")),
    # Django's “view on site” looks a row up by its id alone, unseen by `visible_to`; a reading's id
    # it would look for in every partition. Nothing of ours has a page there.
    re_path("^admin/r/", page_not_found, {"exception": Http404()}),
    path("admin/", admin.site.urls),
    # A quarter of a second of work for anybody who asks, and the same for all of them.
    re_path("^schema/?$", cache_page(HOUR)(SpectacularAPIView.as_view()), name="schema"),
    # OPTIONS it would answer with a page for which it has no template.
    re_path(
        "^docs/?$",
        SpectacularSwaggerSplitView.as_view(url_name="schema", metadata_class=None),
        name="docs",
    ),
]
