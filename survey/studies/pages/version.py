"""A new version of a study that is open or was; a duplicate of any."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import ADD, CHANGE, VIEW
from nstlab.core.pages import about, ask
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


@about(Study, VIEW)
def duplicate(request: HttpRequest, study: Study) -> HttpResponse:
    """Make a draft of one's own that is like this study, and go to it."""
    ask(request, Study, ADD)
    if request.method != "POST":
        return to_study(study)
    try:
        draft = versions.duplicate(study, request.user)
    except CannotOpen as refused:
        messages.error(request, str(refused))
        return to_study(study)
    history.record(request.user, draft, f"A duplicate of “{study}”.", new=True)
    messages.success(
        request,
        f"This is a duplicate of “{study}”, a draft with an address of its own. Its "
        "dates, ethics reference and platform codes are still to be set.",
    )
    return to_study(draft)
