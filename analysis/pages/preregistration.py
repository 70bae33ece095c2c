"""What a study's analysis is bound to, written down before and frozen."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from analysis.answer_kinds import kind_by
from analysis.pages.around import CONTENT_TYPES, about_study, study_page
from analysis.preregistration import freezing, record
from analysis.preregistration.form import PlanForm
from analysis.preregistration.plan import SCREENS, method_by_plan
from nstlab.core import history
from nstlab.core.access import CHANGE, may
from survey.models import Study


@about_study(to_post=CHANGE)
def show(request: HttpRequest, study: Study) -> HttpResponse:
    """Write down what will be analysed, freeze it, see it."""
    row = freezing.of(study)
    frozen = row if row is not None and row.frozen_at is not None else None
    form = PlanForm(
        request.POST or None, study=study, plan=row.plan if row is not None else {}
    )
    if request.method == "POST" and form.is_valid():
        if _write_plan(request, study, form):
            return redirect(request.path)
        frozen = freezing.frozen(study)
    then = method_by_plan(frozen) if frozen is not None else None
    return study_page(
        request,
        study,
        "preregistration",
        f"Pre-registration of {study}",
        row=row,
        frozen=frozen,
        said=frozen and record.sentences(record.statement(frozen)),
        method_then=then,
        kind_then=then and kind_by(then),
        form=form,
        may_write=may(request.user, CHANGE, study),
        ratings=freezing.ratings_so_far(study),
        screens=SCREENS,
    )


def _write_plan(request: HttpRequest, study: Study, form: PlanForm) -> bool:
    """Save the plan, and freeze it if asked to; whether all of it was done."""
    try:
        freezing.write(study, form.plan())
        if "freeze" not in request.POST:
            messages.success(request, "The plan is saved; it is not frozen yet.")
            return True
        if "sure" not in request.POST:
            raise freezing.CannotFreeze(
                "The plan is saved. Tick the box to freeze it: nothing of it can "
                "be changed afterwards."
            )
        row = freezing.freeze(study, by=request.user)
    except freezing.CannotFreeze as refused:
        messages.error(request, str(refused))
        return False
    sentence = f"Pre-registered, sha256 {row.sha256}."
    history.record(request.user, study, sentence)
    messages.success(request, sentence)
    return True


@about_study()
def as_json(request: HttpRequest, study: Study) -> HttpResponse:
    """The frozen plan with its proof, and who froze it."""
    row = freezing.frozen(study)
    if row is None:
        raise Http404("Nothing is pre-registered.")
    by = row.frozen_by.get_username() if row.frozen_by else None
    text = json.dumps(
        record.record(row) | {"frozen_by": by},
        indent=2,
        ensure_ascii=False,
    )
    name = f"preregistration-{row.sha256[:10]}.json"
    return HttpResponse(
        f"{text}\n",
        content_type=CONTENT_TYPES["json"],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
