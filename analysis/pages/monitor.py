"""How a study is going."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from analysis import monitor
from analysis.pages.around import about_study, study_page
from survey.models import Study


@about_study()
def show(request: HttpRequest, study: Study) -> HttpResponse:
    """How the study is going; asks for itself again while people can answer."""
    include_simulated = request.GET.get("simulated") == "1"
    watched = monitor.watch(study, include_simulated=include_simulated)
    part = request.headers.get("HX-Request")
    return study_page(
        request,
        study,
        "_monitor" if part else "monitor",
        f"Monitor of {study}",
        watched=watched,
        session=watched.session and monitor.hours_and_minutes(watched.session),
        include_simulated=include_simulated,
    )


@about_study()
def suspects(request: HttpRequest, study: Study) -> HttpResponse:
    """The monitor's list of whom to look at: every answer is looked at for it, so
    the page asks for it by itself, and less often."""
    simulated = request.GET.get("simulated") == "1"
    suspects = monitor.suspicious(study, include_simulated=simulated)
    context = {
        "study": study,
        "suspects": suspects[: monitor.MOST_SHOWN],
        "more": max(0, len(suspects) - monitor.MOST_SHOWN),
        "include_simulated": simulated,
    }
    return render(request, "analysis/_suspects.html", context)
