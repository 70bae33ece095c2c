"""Pictures of one's own are uploaded, and taken in a moment at a time."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from nstlab.core import history
from nstlab.core.access import CHANGE
from nstlab.core.pages import about
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import uploads
from survey.studies.forms import ArchiveForm
from survey.studies.pages.around import study_page
from survey.studies.pages.copying import COPY_SECONDS


@about(Study, CHANGE)
def upload(request: HttpRequest, study: Study) -> HttpResponse:
    """Pictures of one's own, from a ZIP and a CSV; what came of the last ones.

    A small archive is taken in at once, of another the page `uploading` goes on.
    """
    if request.method == "GET" and uploads.under_way(study):
        return redirect("admin:survey_study_uploading", study.pk)
    form = ArchiveForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        archive: Any = form.cleaned_data["archive"]
        table: Any = form.cleaned_data["table"]
        data = table.read() if table else None
        try:
            begun = uploads.begin(study, archive, data, form=form.cleaned_data["key"])
            if number := begun.pictures.count():
                history.record(request.user, study, f"An archive of {number} pictures.")
            left = uploads.go_on(begun, COPY_SECONDS)
        except (CannotOpen, uploads.UploadRefused) as refused:
            form.add_error(None, str(refused))
        else:
            # Loaded anew, neither page sends the archive again.
            page = "uploading" if left else "upload"
            return redirect(f"admin:survey_study_{page}", study.pk)
    return study_page(
        request, study, "upload", "Pictures of your own", form=form,
        last=study.uploads.exclude(finished_at=None).order_by("pk").last(),
        under_way=uploads.under_way(study),
        stimuli=reverse("admin:survey_stimulus_changelist")
        + f"?study__id__exact={study.pk}",
    )  # fmt: skip


@about(Study, CHANGE)
def uploading(request: HttpRequest, study: Study) -> HttpResponse:
    """How far an archive is taken in; each POST takes in some more, or cancels it.

    The page posts by itself, or by a button where scripts do not run.
    """
    current = uploads.under_way(study)
    refused = ""
    left = 0
    if current is not None:
        left = current.waiting().count() or 1  # one step is to finish
    if current is not None and request.method == "POST":
        try:
            if request.POST.get("act") != "cancel":
                left = uploads.go_on(current, COPY_SECONDS)
            elif uploads.cancel(current):
                left = 0
                history.record(request.user, study, "The archive was cancelled.")
                messages.success(request, "The archive and its pictures are gone.")
        except CannotOpen as error:
            refused = str(error)
    if current is None or not left:
        response = redirect("admin:survey_study_upload", study.pk)
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": response["Location"]})
        return response
    everything = current.pictures.count()
    context = {"read": everything - left, "all": everything, "refused": refused}
    if request.headers.get("HX-Request"):
        return render(request, "survey/pages/_uploading.html", context)
    return study_page(request, study, "uploading", "Taking pictures in", **context)
