"""Reports, monitor, exclusions and open data: pages per study, files beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString

from analysis import exclusions, monitor
from analysis.access import EXCLUDE, MAKE_BUNDLE, RECOMPUTE
from analysis.answer_kinds import kind_by, kind_of
from analysis.bundle import licences
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, matrix_lines, ratings_rows
from analysis.models import Bundle, Report, ReportFile
from analysis.preregistration import freezing, record
from analysis.preregistration.form import PlanForm
from analysis.preregistration.plan import SCREENS, method_by_plan
from analysis.reports import page_data, snapshot
from analysis.reports.request import (
    again,
    answers_since,
    carry,
    last_shown,
    last_took,
    request_bundle,
    request_report,
)
from nstlab.core import jobs
from nstlab.core.access import may, visible
from nstlab.core.admin import ReadOnlyAdmin
from nstlab.core.outages import sentence_of
from survey.models import Participant, Study

log = logging.getLogger(__name__)

KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json",
         "svg": "image/svg+xml", "png": "image/png"}  # fmt: skip
PEOPLE_PER_PAGE = 100


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
        def page(route: str, view: Callable[..., Any], name: str) -> URLPattern:
            wrapped = self.admin_site.admin_view(self._or_why_not(view))
            return path(f"study/<int:pk>/{route}", wrapped, name=f"analysis_{name}")

        return [
            page("", self.study_page, "report_study"),
            page("again/", self.again, "report_again"),
            page("awaited/<int:report>/", self.awaited_page, "awaited"),
            page("monitor/", self.monitor_page, "monitor"),
            page("monitor/suspects/", self.suspects_page, "suspects"),
            page("participants/", self.participants_page, "participants"),
            page("participants/<str:code>/", self.participant_page, "participant"),
            page("share/", self.share_page, "share"),
            page("share/<int:bundle>.zip", self.bundle_file, "bundle_file"),
            page("preregistration/", self.preregistration_page, "preregistration"),
            page(
                "preregistration.json",
                self.preregistration_json,
                "preregistration_json",
            ),
            page("ratings_long.csv", self.ratings_long, "ratings_long"),
            page("ratings_matrix.csv", self.ratings_matrix, "ratings_matrix"),
            page("<str:name>", self.report_file, "report_file"),
            path(
                # A chart of an older report may have a slash in its name.
                "file/<int:pk>/<path:name>",
                self.admin_site.admin_view(self.kept_file),
                name="analysis_kept_file",
            ),
            *super().get_urls(),
        ]

    def _or_why_not(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """A page about a study whose rows or kept files make no sense to this version
        says what is wrong with them; an error page would say nothing."""

        @wraps(view)
        def explained(request: HttpRequest, pk: int, **named: Any) -> HttpResponse:
            try:
                response: HttpResponse = view(request, pk, **named)
                if isinstance(response, TemplateResponse):
                    response.render()
                return response
            except (Http404, PermissionDenied):
                raise
            except Exception as error:
                if sentence_of(error):
                    raise
                log.exception("A page about study %s cannot be shown.", pk)
                wrong = f"{type(error).__name__}: {error}"
                if request.headers.get("HX-Request"):
                    said = '<p class="errornote" role="alert">Cannot be shown: {}</p>'
                    return HttpResponse(format_html(said, wrong))
                context = {
                    **self.admin_site.each_context(request),
                    "title": "This page cannot be shown",
                    "study": self._get_study(request, pk),
                    "wrong": wrong,
                }
                return render(request, "analysis/cannot_be_shown.html", context)

        return explained

    # Who may see what: every view below asks the first of these, and before it changes
    # anything another one.

    def _get_study(self, request: HttpRequest, pk: int) -> Study:
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen = visible(Study, request.user).select_related("experiment")
        return get_object_or_404(seen, pk=pk)

    def _may_exclude(self, request: HttpRequest, study: Study) -> bool:
        return may(request.user, EXCLUDE, study)

    def _context(self, request: HttpRequest, study: Study, **more: Any) -> Any:
        return {
            **self.admin_site.each_context(request),
            "study": study,
            "opts": self.opts,
            "may_change": may(request.user, RECOMPUTE, study),
            "may_exclude": self._may_exclude(request, study),
            **more,
        }

    # The report -----------------------------------------------------------------

    def study_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The report on the study's present data; asks for it if there is none, and
        shows the last one until it is there."""
        study = self._get_study(request, pk)
        asked = request_report(
            study,
            include_simulated=request.GET.get("simulated") == "1",
            by=request.user,
        )
        context = self._report_context(request, study, asked, just_found=True)
        return TemplateResponse(request, "analysis/report.html", context)

    def awaited_page(self, request: HttpRequest, pk: int, report: int) -> HttpResponse:
        """What the page of a report that is waited for asks every second: how it goes,
        and then the report. It asks for no new one, however the data change."""
        study = self._get_study(request, pk)
        asked = Report.objects.filter(study=study, pk=report).first()
        if asked is None:  # a withdrawal took it, or another has the same data
            return HttpResponse(headers={"HX-Refresh": "true"})
        if asked.state == Report.State.QUEUED:
            carry(asked)
            context = self._awaited_context(study, asked)
            return render(request, "analysis/_awaited.html", context)
        context = self._report_context(request, study, asked, just_found=False)
        response = render(request, "analysis/_report.html", context)
        response["HX-Retarget"] = "#report"
        return response

    def _awaited_context(self, study: Study, asked: Report) -> dict[str, Any]:
        return {
            "study": study,
            "asked": asked,
            "last_took": last_took(study),
            "worker_present": jobs.workers_of("report") > 0,
        }

    def _report_context(
        self, request: HttpRequest, study: Study, asked: Report, *, just_found: bool
    ) -> dict[str, Any]:
        """`just_found`: it is known to be on the present data, if it is done."""
        include_simulated = asked.include_simulated
        report: Report | None = asked
        if asked.state != Report.State.DONE:
            report = last_shown(study, include_simulated=include_simulated)
        counts = study.participants.filter(pilot=False).aggregate(
            started=Count("pk", filter=Q(simulated=False)),
            finished=Count(
                "pk",
                filter=Q(simulated=False, status=Participant.Status.FINISHED),
            ),
            simulated=Count("pk", filter=Q(simulated=True)),
        )
        context = self._context(
            request,
            study,
            title=f"Report on {study}",
            asked=asked,
            report=report,
            people=counts,
            include_simulated=include_simulated,
            excluded=study.participants.filter(excluded=True),
            has_matrix=not kind_of(study).no_matrix,
        )
        if asked.state == Report.State.QUEUED:
            context |= self._awaited_context(study, asked)
        if report is not None:
            context |= page_data.report_context(study, report)
            fresh = just_found and report is asked
            if not fresh and report.fingerprint != snapshot.fingerprint(study):
                context |= {
                    "is_older": True,
                    "answers_since": answers_since(report),
                }
        return context

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Compute a report that failed once more."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        if request.method == "POST":
            if not may(request.user, RECOMPUTE, study):
                raise PermissionDenied
            report = request_report(
                study, include_simulated=include_simulated, by=request.user
            )
            if report.state == Report.State.FAILED and again(report):
                self.log_change(request, study, "Its failed report is computed again.")
        return redirect(_report_address(pk, include_simulated))

    def ratings_long(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Every planned trial of the study, streamed."""
        study = self._get_study(request, pk)
        lines = csv_lines(RATINGS_LONG, ratings_rows(study))
        return _download(lines, "ratings_long.csv")

    def ratings_matrix(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Stimuli × participants, as the reference tools read it, streamed."""
        study = self._get_study(request, pk)
        if why := kind_of(study).no_matrix:
            raise Http404(why)
        plain = request.GET.get("plain") == "1"
        name = "ratings_matrix_plain.csv" if plain else "ratings_matrix.csv"
        lines = matrix_lines(
            study,
            labels=not plain,
            include_simulated=request.GET.get("simulated") == "1",
        )
        return _download(lines, name)

    def report_file(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """A file of the present report, once it is computed."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        report = request_report(
            study, include_simulated=include_simulated, by=request.user
        )
        if report.state != Report.State.DONE:
            return redirect(_report_address(pk, include_simulated))
        return self._file(report, name)

    def kept_file(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """A file of one report, which never changes."""
        report = get_object_or_404(Report, pk=pk)
        self._get_study(request, report.study_id)
        response = self._file(report, name)
        response["Cache-Control"] = "private, max-age=31536000, immutable"
        return response

    def _file(self, report: Report, name: str) -> HttpResponse:
        file = ReportFile.objects.filter(report=report, name=name).first()
        if file is None:
            raise Http404(f"The report has no file {name}.")
        return HttpResponse(
            bytes(file.data),
            content_type=KINDS[name.rpartition(".")[2]],
            # As a page of its own an SVG could run; beside an <img> this is ignored.
            headers={"Content-Disposition": content_disposition_header(True, name)},
        )

    # The monitor ----------------------------------------------------------------

    def monitor_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How the study is going; asks for itself again while people can answer."""
        study = self._get_study(request, pk)
        include_simulated = request.GET.get("simulated") == "1"
        watched = monitor.watch(study, include_simulated=include_simulated)
        context = self._context(
            request,
            study,
            title=f"Monitor of {study}",
            watched=watched,
            session=watched.session and monitor.hours_and_minutes(watched.session),
            include_simulated=include_simulated,
        )
        if request.headers.get("HX-Request"):
            return render(request, "analysis/_monitor.html", context)
        return TemplateResponse(request, "analysis/monitor.html", context)

    def suspects_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The monitor's list of whom to look at: every answer is looked at for it, so
        the page asks for it by itself, and less often."""
        study = self._get_study(request, pk)
        simulated = request.GET.get("simulated") == "1"
        suspects = monitor.suspicious(study, include_simulated=simulated)
        context = {
            "study": study,
            "suspects": suspects[: monitor.MOST_SHOWN],
            "more": max(0, len(suspects) - monitor.MOST_SHOWN),
            "include_simulated": simulated,
        }
        return render(request, "analysis/_suspects.html", context)

    # Exclusions -----------------------------------------------------------------

    def participants_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Everybody who took part, a page at a time, with what looks odd."""
        study = self._get_study(request, pk)
        keys = study.participants.filter(pilot=False).order_by("pk")
        page = Paginator(keys.values_list("pk", flat=True), PEOPLE_PER_PAGE).get_page(
            request.GET.get("p")
        )
        notes = page_data.Notes()
        rows = [
            {**person, "notes": notes.of(";".join(monitor.words(person)))}
            for person in monitor.people(study).filter(pk__in=list(page.object_list))
        ]
        context = self._context(
            request,
            study,
            title=f"Participants of {study}",
            page=page,
            rows=rows,
            notes=list(notes),
            log=exclusions.history(study.participants.all())[:PEOPLE_PER_PAGE],
        )
        return TemplateResponse(request, "analysis/participants.html", context)

    def participant_page(
        self, request: HttpRequest, pk: int, code: str
    ) -> HttpResponse:
        """One person: exclude with a reason, or count again."""
        study = self._get_study(request, pk)
        participant = get_object_or_404(Participant, study=study, code=code)
        if request.method == "POST":
            if not self._may_exclude(request, study):
                raise PermissionDenied
            try:
                if "lift" in request.POST:
                    exclusions.lift(participant, by=request.user)
                    said = f"Participant {participant} counts again."
                else:
                    reason = request.POST.get("reason", "")
                    exclusions.exclude(participant, reason=reason, by=request.user)
                    said = f"Participant {participant} is left out of the statistics."
            except exclusions.CannotExclude as refused:
                messages.error(request, str(refused))
                return redirect(request.path)
            messages.success(request, said)
            return redirect("admin:analysis_participants", pk)
        person = monitor.people(study).filter(pk=participant.pk).first()
        context = self._context(
            request,
            study,
            title=f"Participant {participant}",
            participant=participant,
            person=person,
            sentences=page_data.sentences(person),
            log=exclusions.history(study.participants.filter(pk=participant.pk)),
        )
        return TemplateResponse(request, "analysis/participant.html", context)

    # The pre-registration ---------------------------------------------------------

    def preregistration_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Write down what will be analysed, freeze it, see it."""
        study = self._get_study(request, pk)
        studies = self.admin_site.get_model_admin(Study)
        may_write = studies.has_change_permission(request, study)
        row = freezing.of(study)
        frozen = row if row is not None and row.frozen_at is not None else None
        form = PlanForm(
            request.POST or None, study=study, plan=row.plan if row is not None else {}
        )
        if request.method == "POST":
            if not may_write:
                raise PermissionDenied
            if form.is_valid():
                if self._write_plan(request, study, form):
                    return redirect(request.path)
                frozen = freezing.frozen(study)
        then = method_by_plan(frozen) if frozen is not None else None
        context = self._context(
            request,
            study,
            title=f"Pre-registration of {study}",
            row=row,
            frozen=frozen,
            said=frozen and record.sentences(record.statement(frozen)),
            method_then=then,
            kind_then=then and kind_by(then),
            form=form,
            may_write=may_write,
            ratings=freezing.ratings_so_far(study),
            screens=SCREENS,
        )
        return TemplateResponse(request, "analysis/preregistration.html", context)

    def _write_plan(self, request: HttpRequest, study: Study, form: PlanForm) -> bool:
        """Save the plan, and freeze it if asked to; whether all of it was done."""
        try:
            freezing.write(study, form.plan())
            if "freeze" not in request.POST:
                messages.success(request, "The plan is saved; it is not frozen yet.")
                return True
            if "sure" not in request.POST:
                raise freezing.CannotFreeze(
                    "The plan is saved. Tick the box to freeze it: nothing of it can "
                    "be changed afterwards."
                )
            row = freezing.freeze(study, by=request.user)
        except freezing.CannotFreeze as refused:
            messages.error(request, str(refused))
            return False
        sentence = f"Pre-registered, sha256 {row.sha256}."
        self.admin_site.get_model_admin(Study).log_change(request, study, sentence)
        messages.success(request, sentence)
        return True

    def preregistration_json(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The frozen plan with its proof, and who froze it."""
        study = self._get_study(request, pk)
        row = freezing.frozen(study)
        if row is None:
            raise Http404("Nothing is pre-registered.")
        by = row.frozen_by.get_username() if row.frozen_by else None
        text = json.dumps(
            record.record(row) | {"frozen_by": by},
            indent=2,
            ensure_ascii=False,
        )
        name = f"preregistration-{row.sha256[:10]}.json"
        return HttpResponse(
            f"{text}\n",
            content_type=KINDS["json"],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    # The open-science bundle ------------------------------------------------------

    def share_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a bundle, and take what is made; says what will not be in it."""
        study = self._get_study(request, pk)
        may_share = may(request.user, MAKE_BUNDLE, study)
        if request.method == "POST":
            if not may_share:
                raise PermissionDenied
            bundle = request_bundle(
                study,
                by=request.user,
                include_simulated="include_simulated" in request.POST,
                all_pictures="all_pictures" in request.POST,
            )
            self.log_change(request, study, _asked(bundle))
            return redirect(request.path)
        bundles = list(study.bundles.select_related("asked_by")[:20])
        for bundle in bundles:
            carry(bundle)
        context = self._context(
            request,
            study,
            title=f"Open data of {study}",
            bundles=bundles,
            waiting=any(it.state == Bundle.State.QUEUED for it in bundles),
            may_share=may_share,
            left_out=licences.left_out(study),
            simulated=study.participants.filter(simulated=True).count(),
        )
        if request.headers.get("HX-Request"):
            return render(request, "analysis/_bundles.html", context)
        return TemplateResponse(request, "analysis/share.html", context)

    def bundle_file(self, request: HttpRequest, pk: int, bundle: int) -> FileResponse:
        """A bundle that is made, streamed."""
        study = self._get_study(request, pk)
        made = get_object_or_404(Bundle, pk=bundle, study=study, state="done")
        return FileResponse(
            made.file.open(),
            as_attachment=True,
            filename=f"study-{made.sha256[:10]}.zip",
            content_type="application/zip",
        )


def _asked(bundle: Bundle) -> str:
    """For the history: which bundle somebody asked for."""
    said = "An open-science bundle asked for"
    if bundle.include_simulated:
        said += ", simulated participants counted in its report"
    if bundle.all_pictures:
        said += ", with every picture on their word that it may be published"
    return f"{said}."


def _report_address(pk: int, include_simulated: bool) -> str:
    address = reverse("admin:analysis_report_study", args=[pk])
    return address + ("?simulated=1" if include_simulated else "")


def _download(lines: Iterable[str], name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        lines,
        content_type=KINDS["csv"],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
