"""Pictures are copied into a study, a moment at a time."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from nstlab.core import history
from nstlab.core.access import CHANGE, may
from nstlab.core.pages import about
from survey.access import OPEN
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import copying, lifecycle, locks
from survey.studies.pages.around import study_page, to_study

COPY_SECONDS = 1.0
"""How long a request copies pictures before it shows how far it is."""

ACTS: dict[str, tuple[Callable[[Study], object], str]] = {
    "open": (lifecycle.open_study, "“{}” is open."),
    "pilot": (lifecycle.pilot_study, "“{}” can be piloted."),
}
"""What pictures are copied for, by its name in addresses; what is said afterwards."""


def go_on_copying(
    study: Study, *, act: str = "", step: str = ""
) -> HttpResponse | None:
    """Copy pictures for a moment; a page that goes on with it if some are left.

    In the end that page does what `act` names, and leads to `step` of the wizard.
    """
    if study.state not in locks.UNFROZEN:
        return None
    if act == "open" and lifecycle.lacking(study):
        return None  # it will be refused anyway
    try:
        if not copying.copy_pictures(study, COPY_SECONDS):
            return None
    except CannotOpen:
        pass  # the page says so
    address = reverse("admin:survey_study_copying", args=[study.pk])
    return redirect(f"{address}?{urlencode({'act': act, 'step': step})}")


@about(Study, CHANGE)
def show_copying(request: HttpRequest, study: Study) -> HttpResponse:
    """How many pictures are copied; each POST copies some more, the last one goes on.

    The page posts by itself, or by a button where scripts do not run.
    """
    step = request.GET.get("step", "")
    refused = ""
    if request.method == "POST":
        try:
            if not copying.copy_pictures(study, COPY_SECONDS):
                return _copied(request, study, step)
        except CannotOpen as error:
            refused = str(error)
    left = copying.left_to_copy(study)
    if study.state not in locks.UNFROZEN or not (left or refused):
        return to_study(study, step)
    there = study.stimuli.count()
    context = {"there": there, "all": there + left, "refused": refused}
    if request.headers.get("HX-Request"):
        return render(request, "survey/pages/_copying.html", {"study": study} | context)
    return study_page(request, study, "copying", "Copying pictures", **context)


def _copied(request: HttpRequest, study: Study, step: str) -> HttpResponse:
    """What the copying was for."""
    sentence = "“{}” has its pictures."
    try:
        if may(request.user, OPEN, study) and request.GET.get("act") in ACTS:
            act, sentence = ACTS[request.GET["act"]]
            act(study)
            history.record(request.user, study, sentence.format(study))
    except CannotOpen as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, sentence.format(study))
    response = to_study(study, step)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": response["Location"]})
    return response
