"""The report on a study: the page, while it is computed, its files."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header, urlencode

from analysis.access import RECOMPUTE
from analysis.answer_kinds import kind_of
from analysis.models import Report, ReportFile
from analysis.pages.around import CONTENT_TYPES, about_study, study_page
from analysis.reports import snapshot
from analysis.reports.contents import report_context
from analysis.reports.page_data import Kept, file_stem, of_question
from analysis.reports.parts import find_part
from analysis.reports.request import (
    again,
    answers_since,
    carry,
    last_shown,
    last_took,
    request_report,
)
from nstlab.core import history, jobs
from nstlab.core.access import VIEW
from nstlab.core.pages import ask, find
from survey.models import Participant, Study


@about_study()
def show(request: HttpRequest, study: Study, part: str = "") -> HttpResponse:
    """A part of the report on the study's present data; asks for it if there is none,
    and shows the last one until it is there."""
    asked = request_report(
        study,
        include_simulated=request.GET.get("simulated") == "1",
        by=request.user,
    )
    context = _report_context(
        study, asked, part, request.GET.get("question", ""), just_found=True
    )
    title = f"Report on {study}"
    return study_page(request, study, "report", title, **context)


@about_study()
def awaited(request: HttpRequest, study: Study, report: int) -> HttpResponse:
    """What the page of a report that is waited for asks every second: how it goes,
    and then the report. It asks for no new one, however the data change."""
    asked = Report.objects.filter(study=study, pk=report).first()
    if asked is None:  # a withdrawal took it, or another has the same data
        return HttpResponse(headers={"HX-Refresh": "true"})
    part, question = request.GET.get("part", ""), request.GET.get("question", "")
    if asked.state == Report.State.QUEUED:
        carry(asked)
        context = _awaited_context(study, asked)
        where = {"part": find_part(part), "question": question}
        return render(request, "analysis/_awaited.html", context | where)
    context = _report_context(
        study, asked, find_part(part).name, question, just_found=False
    )
    response = study_page(request, study, "_report", f"Report on {study}", **context)
    response["HX-Retarget"] = "#report"
    return response


def _awaited_context(study: Study, asked: Report) -> dict[str, Any]:
    return {
        "study": study,
        "asked": asked,
        "last_took": last_took(study),
        "worker_present": jobs.workers_of("report") > 0,
    }


def _report_context(
    study: Study, asked: Report, part: str, question: str, *, just_found: bool
) -> dict[str, Any]:
    """`just_found`: it is known to be on the present data, if it is done."""
    include_simulated = asked.include_simulated
    report: Report | None = asked
    if asked.state != Report.State.DONE:
        report = last_shown(study, include_simulated=include_simulated)
    counts = study.participants.counted(simulated=True).aggregate(
        started=Count("pk", filter=Q(simulated=False)),
        finished=Count(
            "pk",
            filter=Q(simulated=False, status=Participant.Status.FINISHED),
        ),
        simulated=Count("pk", filter=Q(simulated=True)),
    )
    context: dict[str, Any] = {
        "part": find_part(part),
        "question": question,
        "query": _query(include_simulated, question),
        "asked": asked,
        "report": report,
        "people": counts,
        "include_simulated": include_simulated,
        "excluded": study.participants.filter(excluded=True),
        "has_matrix": not kind_of(study).no_matrix,
    }
    if asked.state == Report.State.QUEUED:
        context |= _awaited_context(study, asked)
    if report is not None:
        kept = Kept(report, question)
        context |= report_context(kept, part, study)
        context["query"] = _query(include_simulated, kept.question)
        context["of_question"] = _query(False, kept.question)
        context["question_links"] = [
            {"name": name, "query": _query(include_simulated, name)}
            for name in kept.questions
        ]
        fresh = just_found and report is asked
        if not fresh and report.fingerprint != snapshot.fingerprint(study):
            context |= {
                "is_older": True,
                "answers_since": answers_since(report),
            }
    return context


def _query(include_simulated: bool, question: str) -> str:
    """The part of an address that keeps to the same people and question."""
    said = {"simulated": "1"} if include_simulated else {}
    said |= {"question": question} if question else {}
    return f"?{urlencode(said)}" if said else ""


@about_study(to_post=RECOMPUTE)
def compute_again(request: HttpRequest, study: Study) -> HttpResponse:
    """Compute a report that failed once more."""
    include_simulated = request.GET.get("simulated") == "1"
    if request.method == "POST":
        report = request_report(
            study, include_simulated=include_simulated, by=request.user
        )
        if report.state == Report.State.FAILED and again(report):
            history.record(request.user, study, "Its failed report is computed again.")
    return redirect(_report_address(study, include_simulated))


@about_study()
def file_of_present(request: HttpRequest, study: Study, name: str) -> HttpResponse:
    """A file of the present report, once it is computed."""
    include_simulated = request.GET.get("simulated") == "1"
    report = request_report(study, include_simulated=include_simulated, by=request.user)
    if report.state != Report.State.DONE:
        return redirect(_report_address(study, include_simulated))
    return _file(report, name, request.GET.get("question"))


def kept_file(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """A file of one report, which never changes."""
    ask(request, Report, VIEW)
    report = find(request, Report.objects.all(), pk)
    response = _file(report, name, request.GET.get("question"))
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


def _file(report: Report, name: str, question: str | None) -> HttpResponse:
    """A file of the report, or its rows that are of one question."""
    file = ReportFile.objects.filter(report=report, name=name).first()
    if file is None:
        raise Http404(f"The report has no file {name}.")
    data, kind = bytes(file.data), name.rpartition(".")[2]
    if question is not None:
        rows = of_question(data.decode(), question) if kind == "csv" else None
        if rows is None:
            raise Http404(f"{name} has no rows of the question {question!r}.")
        data, name = rows.encode(), f"{file_stem(name, question)}.csv"
    return HttpResponse(
        data,
        content_type=CONTENT_TYPES[kind],
        # As a page of its own an SVG could run; beside an <img> this is ignored.
        headers={"Content-Disposition": content_disposition_header(True, name)},
    )


def _report_address(study: Study, include_simulated: bool) -> str:
    address = reverse("admin:analysis_report_study", args=[study.pk])
    return address + ("?simulated=1" if include_simulated else "")
