"""A new version of a study that is open or was."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import CHANGE
from nstlab.core.pages import about
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import versions
from survey.studies.pages.around import to_study


@about(Study, CHANGE)
def version(request: HttpRequest, study: Study) -> HttpResponse:
    """Make a new version and go to it."""
    if request.method != "POST":
        return to_study(study)
    try:
        draft = versions.new_version(study)
    except CannotOpen as refused:
        messages.error(request, str(refused))
        return to_study(study)
    said = f"Version {draft.version} of “{study.title}”."
    history.record(request.user, draft, said, new=True)
    messages.success(
        request,
        f"This is version {draft.version}, a draft. The versions before it go on until "
        "it opens.",
    )
    return to_study(draft)
