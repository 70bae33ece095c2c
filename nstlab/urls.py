from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from nstlab import health, metrics

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("s/", include("survey.urls")),
    path("pictures/", include("generation.urls")),
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("metrics", metrics.metrics, name="metrics"),
]

handler400 = "nstlab.errors.bad_request"
handler403 = "nstlab.errors.forbidden"
handler404 = "nstlab.errors.not_found"
handler500 = "nstlab.errors.server_error"
