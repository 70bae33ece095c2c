"""The lab's admin site."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.views import shortcut
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from nstlab.core.access import VIEW, belongs_to_somebody, may, seen_by
from nstlab.errors import too_many_logins
from nstlab.logins import Attempt


class LabSite(AdminSite):
    site_header = "NSTLab"
    site_title = "NSTLab"
    index_title = "Experiments, studies, reports"
    enable_nav_sidebar = False

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The first page; htmx gets the part that changes."""
        from nstlab.dashboard import home  # models, which are not there when sites are

        context = {"home": home(request), **(extra_context or {})}
        if request.headers.get("HX-Request"):
            return TemplateResponse(request, "admin/_home.html", context)
        return super().index(request, context)

    @method_decorator(sensitive_post_parameters())
    @method_decorator(never_cache)
    @login_not_required
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The one page that takes passwords, a limited number of wrong ones."""
        if request.method != "POST":
            return super().login(request, extra_context)
        attempt = Attempt(request)
        if seconds := attempt.seconds_to_wait():
            return too_many_logins(request, seconds)
        response = super().login(request, extra_context)
        if response.status_code == 302:
            attempt.succeeded(response)
        else:
            attempt.failed()
        return response

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """In the lab's words, also what others call otherwise."""
        found = super().get_app_list(request, app_label)
        for app in found:
            if app["app_label"] == "django_rq":
                app["name"] = "Queues and workers"
                for page in app["models"]:
                    page["name"] = "Dashboard"
        return found

    def get_urls(self) -> list[Any]:
        # Before the stock one, which tells any staff the address of any study.
        guarded = path(
            "r/<int:content_type_id>/<int:object_id>/",
            self.admin_view(self.view_on_site),
            name="view_on_site",
        )
        stock = super().get_urls()
        unguarded = "view_on_site"
        return [
            guarded,
            *(it for it in stock if getattr(it, "name", None) != unguarded),
        ]

    def view_on_site(
        self, request: HttpRequest, content_type_id: int, object_id: int
    ) -> HttpResponse:
        """The public page of a row that the person may see."""
        kind = get_object_or_404(ContentType, pk=content_type_id)
        model = kind.model_class()
        if model is None or not belongs_to_somebody(model):
            raise Http404("There is no such page.")
        if not may(request.user, VIEW, model):
            raise Http404("There is no such page.")
        rows = model._default_manager.all()
        get_object_or_404(seen_by(request.user, rows), pk=object_id)
        return shortcut(request, content_type_id, object_id)
