"""P.913's questions about people and their surroundings."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import CHANGE
from nstlab.core.pages import about
from survey import presets
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import locks
from survey.studies.pages.around import to_study


@about(Study, CHANGE)
def form_preset(request: HttpRequest, study: Study) -> HttpResponse:
    """Add P.913's questions about people and their surroundings to the study."""
    if request.method == "POST":
        try:
            with transaction.atomic():
                new = presets.add_p913_form(locks.hold_unfrozen(study))
                history.record(
                    request.user, study, f"{new} of P.913's questions added."
                )
        except CannotOpen as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, f"{new} questions are in the form before.")
    return to_study(study)
