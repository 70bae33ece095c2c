"""Delete a study with its answers, as one does after a test."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from nstlab.core import history
from nstlab.core.access import DELETE
from nstlab.core.pages import about
from survey.models import Study
from survey.refusals import CannotDelete
from survey.studies import lifecycle
from survey.studies.pages.around import study_page


@about(Study, DELETE)
def delete(request: HttpRequest, study: Study) -> HttpResponse:
    """Say what would be lost, and delete it once the title is typed."""
    typed = ""
    if request.method == "POST":
        typed = request.POST.get("title", "")
        try:
            with transaction.atomic():
                title, pk = str(study), study.pk
                lost = lifecycle.delete_with_answers(study, typed)
                said = f"“{title}” is deleted, with {in_words(lost)}."
                history.record(request.user, Study(pk=pk, title=title), said, gone=True)
        except CannotDelete as refused:
            messages.error(request, f"{refused} Nothing was deleted.")
        else:
            messages.success(request, said)
            return redirect("admin:survey_study_changelist")
    return study_page(
        request,
        study,
        "deletion",
        "Delete with its answers",
        lost=lifecycle.answers_of(study),
        typed=typed,
        taking=study.accepts_answers,
    )


def in_words(lost: dict[str, int]) -> str:
    """Counts with their names; what there is none of is left out."""
    said = [f"{number} {name}" for name, number in lost.items() if number]
    return ", ".join(said) or "nobody's answers"
