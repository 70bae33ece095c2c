"""Reports: one page per study, with its CSV files beside it."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analysis import reports
from analysis.exports import RATINGS_LONG, csv_lines, ratings_rows
from analysis.models import Report
from generation.admin import ReadOnlyAdmin
from survey.models import Participant, Study


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
        wrap = self.admin_site.admin_view
        return [
            path(
                "study/<int:pk>/", wrap(self.study_page), name="analysis_report_study"
            ),
            path(
                "study/<int:pk>/again/", wrap(self.again), name="analysis_report_again"
            ),
            path(
                "study/<int:pk>/ratings_long.csv",
                wrap(self.ratings_long),
                name="analysis_ratings_long",
            ),
            path(
                "study/<int:pk>/<str:name>",
                wrap(self.report_file),
                name="analysis_report_file",
            ),
            *super().get_urls(),
        ]

    def _get_study(self, request: HttpRequest, pk: int) -> Study:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Study.objects.select_related("experiment"), pk=pk)

    def study_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The report on the study's present data; asks for it if there is none."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        report = reports.request_report(study, include_simulated=include_simulated)
        people = study.participants.filter(pilot=False).aggregate(
            started=Count("pk", filter=Q(simulated=False)),
            finished=Count(
                "pk",
                filter=Q(simulated=False, status=Participant.Status.FINISHED),
            ),
            simulated=Count("pk", filter=Q(simulated=True)),
        )
        stimuli = {stimulus.code: stimulus for stimulus in study.stimuli.all()}
        rows = []
        table = report.files.get("mos_by_stimulus.csv", "")
        for row in csv.DictReader(io.StringIO(table)):
            low, high = row["ci_low"], row["ci_high"]
            row["interval"] = f"{float(low):.2f} – {float(high):.2f}" if low else ""
            row["counts"] = [row[f"n_{value}"] for value in (1, 2, 3, 4, 5)]
            for name in ("mos", "sd"):
                row[name] = f"{float(row[name]):.2f}" if row[name] else ""
            rows.append({**row, "stimulus": stimuli[row["stimulus"]]})
        context = {
            **self.admin_site.each_context(request),
            "title": f"Report on {study}",
            "study": study,
            "report": report,
            "rows": rows,
            "people": people,
            "include_simulated": include_simulated,
            "worker_present": (
                report.state != Report.State.QUEUED or reports.worker_present()
            ),
            "opts": self.opts,
        }
        if request.headers.get("HX-Request"):
            return render(request, "analysis/_report.html", context)
        return TemplateResponse(request, "analysis/report.html", context)

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Compute a report that failed once more."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        if request.method == "POST":
            report = reports.request_report(study, include_simulated=include_simulated)
            if report.state == Report.State.FAILED:
                reports.again(report)
        address = reverse("admin:analysis_report_study", args=[pk])
        return redirect(address + ("?simulated=1" if include_simulated else ""))

    def ratings_long(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Every planned trial of the study, streamed."""
        study = self._get_study(request, pk)
        return StreamingHttpResponse(
            csv_lines(RATINGS_LONG, ratings_rows(study)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="ratings_long.csv"'},
        )

    def report_file(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """One table of the present report, once it is computed."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        report = reports.request_report(study, include_simulated=include_simulated)
        if report.state != Report.State.DONE:
            address = reverse("admin:analysis_report_study", args=[pk])
            return redirect(address + ("?simulated=1" if include_simulated else ""))
        if name not in report.files:
            raise Http404(f"The report has no file {name}.")
        kind = "application/json" if name.endswith(".json") else "text/csv"
        return HttpResponse(
            report.files[name],
            content_type=f"{kind}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("files", "traceback")
