"""Put a study out of the way of lists, and back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import CHANGE
from nstlab.core.pages import about
from survey.models import Study
from survey.studies.pages.around import to_study


@about(Study, CHANGE)
def archive(request: HttpRequest, study: Study) -> HttpResponse:
    """Archive the study, or take it out again, as `archived` is 1 or 0."""
    wanted = request.POST.get("archived", "")
    if wanted not in {"0", "1"} or (wanted == "1") == (study.archived_at is not None):
        return to_study(study)  # it is so already
    if wanted == "1":
        done, said = study.archive(), f"“{study}” is archived. Nothing of it is lost."
    else:
        done, said = study.unarchive(), f"“{study}” is among the others again."
    if done:
        history.record(request.user, study, said)
        messages.success(request, said)
    else:
        study.refresh_from_db()
        messages.error(
            request,
            f"“{study}” is {study.state_in_words}, and people may be answering: close "
            "it first.",
        )
    return to_study(study)
