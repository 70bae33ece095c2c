"""The list of reports; below it lie the pages of `analysis.pages`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analysis import pages
from analysis.models import Report
from nstlab.core.admin import ReadOnlyAdmin


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ["study", "state", "include_simulated", "created_at", "page"]
    list_select_related = ["study"]
    list_filter = ["state", "study"]

    @admin.display(description="report")
    def page(self, report: Report) -> SafeString:
        url = reverse("admin:analysis_report_study", args=[report.study_id])
        return format_html('<a href="{}">open the present one</a>', url)

    def get_urls(self) -> list[URLPattern]:
        return [*pages.urls(), *super().get_urls()]
