"""The history as a list: what researchers changed, who did and when, in words."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from generation.models import Experiment
from nstlab.core.access import (
    VIEW,
    belongs_to_somebody,
    may,
    seen_by,
    sees_everybodys,
)
from nstlab.core.admin import ReadOnlyMixin
from nstlab.models import Entry
from survey.models import Study


class KindFilter(admin.SimpleListFilter):
    """The kinds of things that anything has happened to."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kinds = model_admin.get_queryset(request).order_by().values("content_type")
        found = ContentType.objects.filter(pk__in=kinds.distinct())
        return sorted((str(it.pk), it.name) for it in found)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Entry]
    ) -> QuerySet[Entry]:
        kind = self.value() or ""
        return queryset.filter(content_type=int(kind)) if kind.isdecimal() else queryset


class HistoryAdmin(ReadOnlyMixin):
    """Read-only; everybody's for those who see everything, else what happened to
    one's own things and those one may see, and what one did oneself."""

    list_display = ["action_time", "user", "thing", "kind", "what"]
    list_display_links = None
    list_filter = [("action_time", admin.DateFieldListFilter), KindFilter]
    list_select_related = ["user", "content_type"]
    search_fields = ["object_repr", "change_message"]
    fields = readonly_fields = ("action_time", "user", "thing", "kind", "what")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": "History", **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        entries = super().get_queryset(request)
        user: Any = request.user
        if all(sees_everybodys(user, each) for each in (Experiment, Study)):
            return entries
        seen = Q(user=user.pk)
        kinds = entries.order_by().values_list("content_type", flat=True).distinct()
        for kind in ContentType.objects.filter(pk__in=kinds):
            model = kind.model_class()
            if model is None or not belongs_to_somebody(model):
                continue
            if may(user, VIEW, model):
                rows = seen_by(user, model._base_manager.all())
                keys = rows.order_by().values_list(Cast("pk", CharField()))
                seen |= Q(content_type=kind, object_id__in=keys)
        return entries.filter(seen)

    @admin.display(description="what", ordering="object_repr")
    def thing(self, entry: Entry) -> SafeString | str:
        address = None if entry.is_deletion() else entry.get_admin_url()
        if not address:
            return entry.object_repr
        return format_html('<a href="{}">{}</a>', address, entry.object_repr)

    @admin.display(description="kind", ordering="content_type")
    def kind(self, entry: Entry) -> str:
        return entry.content_type.name if entry.content_type else "–"

    @admin.display(description="what was done")
    def what(self, entry: Entry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()
