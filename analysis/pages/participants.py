"""Who took part in a study, and whom the statistics leave out."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect

from analysis import exclusions, monitor, sample
from analysis.access import EXCLUDE
from analysis.exports import csv_lines
from analysis.pages.around import about_study, download, study_page
from analysis.reports import page_data
from survey.models import Participant, Study

PEOPLE_PER_PAGE = 100


@about_study()
def everybody(request: HttpRequest, study: Study) -> HttpResponse:
    """Everybody who took part, a page at a time, with what looks odd."""
    keys = study.participants.counted(simulated=True).order_by("pk")
    page = Paginator(keys.values_list("pk", flat=True), PEOPLE_PER_PAGE).get_page(
        request.GET.get("p")
    )
    notes = page_data.Notes()
    rows = [
        {**person, "notes": notes.of(";".join(monitor.words(person)))}
        for person in monitor.people(study).filter(pk__in=list(page.object_list))
    ]
    return study_page(
        request,
        study,
        "participants",
        f"Participants of {study}",
        page=page,
        rows=rows,
        notes=list(notes),
        log=exclusions.history(study.participants.all())[:PEOPLE_PER_PAGE],
    )


@about_study()
def as_csv(request: HttpRequest, study: Study) -> StreamingHttpResponse:
    """A row a person: what forms, checks and browsers said. Not for publication."""
    columns, rows = sample.rows(study)
    return download(csv_lines(columns, rows), "participants.csv")


@about_study(to_post=EXCLUDE)
def one(request: HttpRequest, study: Study, code: str) -> HttpResponse:
    """One person: exclude with a reason, or count again."""
    participant = get_object_or_404(Participant, study=study, code=code)
    if request.method == "POST":
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
        return redirect("admin:analysis_participants", study.pk)
    person = monitor.people(study).filter(pk=participant.pk).first()
    return study_page(
        request,
        study,
        "participant",
        f"Participant {participant}",
        participant=participant,
        person=person,
        sentences=page_data.sentences(person),
        log=exclusions.history(study.participants.filter(pk=participant.pk)),
    )
