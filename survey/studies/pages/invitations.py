"""One-time links to a study."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import CHANGE
from nstlab.core.pages import about
from survey.models import Study
from survey.studies.forms import InvitationForm
from survey.studies.invitations import invite
from survey.studies.pages.around import csv_file, study_page


@about(Study, CHANGE)
def invitations(request: HttpRequest, study: Study) -> HttpResponse:
    """New one-time links as CSV; they cannot be shown again."""
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        address = request.build_absolute_uri(study.get_absolute_url())
        codes = invite(study, form.cleaned_data["number"])
        history.record(request.user, study, f"{len(codes)} one-time links made.")
        rows = [("link", "code"), *((f"{address}#{code}", code) for code in codes)]
        return csv_file(rows, f"invitations-{study.slug}.csv")
    used = study.invitations.filter(used=True).count()
    return study_page(
        request, study, "invitations", "One-time links", form=form,
        made=study.invitations.count(), used=used,
    )  # fmt: skip
