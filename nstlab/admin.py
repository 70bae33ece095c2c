"""The history, and a guard for django-rq's dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.exceptions import AlreadyRegistered
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard

from nstlab.history import HistoryAdmin
from nstlab.models import Entry

admin.site.register(Entry, HistoryAdmin)


class GuardedQueueAdmin(QueueAdmin):
    """The stock dashboard asks for staff only; emptying a queue takes a right."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("django_rq.admin")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_rq.admin")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("django_rq.admin")

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        return _guarded(super().changelist_view)(request, extra_context)

    def get_urls(self) -> list[Any]:
        urls = super().get_urls()
        for pattern in urls:
            pattern.callback = _guarded(pattern.callback)
        return urls


def _guarded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = request.user
        if user.is_authenticated and not user.has_perm("django_rq.admin"):
            raise PermissionDenied
        if not user.is_authenticated:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request, *args, **kwargs)

    return guarded


def register_dashboard() -> None:
    try:
        admin.site.register(Dashboard, GuardedQueueAdmin)
    except AlreadyRegistered:  # RQ_SHOW_ADMIN_LINK was switched on
        admin.site.unregister(Dashboard)
        admin.site.register(Dashboard, GuardedQueueAdmin)


register_dashboard()
