"""Open-science bundles of a study: asked for, and taken away."""

from __future__ import annotations

from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from analysis.access import MAKE_BUNDLE
from analysis.bundle import licences
from analysis.models import Bundle
from analysis.pages.around import about_study, study_page
from analysis.reports.request import carry, request_bundle
from nstlab.core import history
from nstlab.core.access import may
from survey.models import Study


@about_study(to_post=MAKE_BUNDLE)
def show(request: HttpRequest, study: Study) -> HttpResponse:
    """Ask for a bundle, and take what is made; says what will not be in it."""
    if request.method == "POST":
        bundle = request_bundle(
            study,
            by=request.user,
            include_simulated="include_simulated" in request.POST,
            all_pictures="all_pictures" in request.POST,
        )
        history.record(request.user, study, _asked(bundle))
        return redirect(request.path)
    bundles = list(study.bundles.select_related("asked_by")[:20])
    for bundle in bundles:
        carry(bundle)
    part = request.headers.get("HX-Request")
    return study_page(
        request,
        study,
        "_bundles" if part else "share",
        f"Open data of {study}",
        bundles=bundles,
        waiting=any(it.state == Bundle.State.QUEUED for it in bundles),
        may_share=may(request.user, MAKE_BUNDLE, study),
        left_out=licences.left_out(study),
        simulated=study.participants.filter(simulated=True).count(),
    )


@about_study()
def file(request: HttpRequest, study: Study, bundle: int) -> FileResponse:
    """A bundle that is made, streamed."""
    made = get_object_or_404(Bundle, pk=bundle, study=study, state="done")
    return FileResponse(
        made.file.open(),
        as_attachment=True,
        filename=f"study-{made.sha256[:10]}.zip",
        content_type="application/zip",
    )


def _asked(bundle: Bundle) -> str:
    """For the history: which bundle somebody asked for."""
    said = "An open-science bundle asked for"
    if bundle.include_simulated:
        said += ", simulated participants counted in its report"
    if bundle.all_pictures:
        said += ", with every picture on their word that it may be published"
    return f"{said}."
