"""The study wizard: from chosen pictures to an open study in a few short pages.

Every step is saved into one draft, which the ordinary page of the study shows too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from copy import copy
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from generation.models import Experiment, Render
from nstlab.core import history
from nstlab.core.access import ADD, CHANGE, VIEW, may, visible
from nstlab.core.admin import count_of
from nstlab.core.pages import about, admin_page, ask, find
from survey.access import OPEN
from survey.design import effort
from survey.methods import method_of
from survey.models import Study
from survey.participant.views import COOKIE
from survey.presets import DEMO_WORDS
from survey.refusals import CannotOpen
from survey.studies import copying, lifecycle, locks, preflight
from survey.studies.forms import FORMS, MOST_MARKED, STEPS, StepForm, marks, neighbours
from survey.studies.invitations import invite
from survey.studies.pages.copying import go_on_copying
from survey.studies.pages.picker import Picker, picker_of

MOST_EXPERIMENTS = 50

HALF_WIDTHS = (0.5, 0.4, 0.3, 0.25, 0.2)
"""On five points: what the table of people needed shows."""


@about(Study, CHANGE)
def show_step(request: HttpRequest, study: Study, step: str) -> HttpResponse:
    """The page of one step, for somebody who sets up the study."""
    if step not in STEPS:
        raise Http404(f"The wizard has no step {step}.")
    frozen = study.state not in locks.UNFROZEN
    if step != "review" and frozen and request.method != "POST":
        return _to(study, "review")
    pages = {"pictures": pictures, "review": review}
    if step in pages:
        return pages[step](request, study)
    return fill_in(request, study, step)


def address_of(study: Study, step: str) -> str:
    """The page of one step for this study."""
    return reverse("admin:survey_study_step", args=[study.pk, step])


def _to(study: Study, step: str) -> HttpResponse:
    return redirect(address_of(study, step))


def _page(
    request: HttpRequest, study: Study | None, step: str, **context: Any
) -> HttpResponse:
    """A step with the bar of steps; a number says what must be mended on each."""
    found = preflight.remarks(study) if study is not None else []
    needs = Counter(remark.step for remark in found if remark.stops)
    frozen = study is not None and study.state not in locks.UNFROZEN
    bar = [
        {
            "title": title,
            "address": address_of(study, name)
            if study is not None and (name == "review" or not frozen)
            else "",
            "here": name == step,
            "needs": 0 if frozen else needs[name],
        }
        for name, title in STEPS.items()
    ]
    before, after = neighbours(step)
    context = {
        "study": study,
        "subtitle": str(study) if study is not None else "New study",
        "step": step,
        "bar": bar,
        "before": STEPS.get(before, ""),
        "after": STEPS.get(after, ""),
        "remarks": found,
        "blocks": needs.total(),
        **context,
    }
    # Steps that are a form and nothing else have no template of their own.
    names = [f"survey/pages/{name}.html" for name in (f"wizard_{step}", "wizard")]
    return admin_page(request, names, Study, STEPS[step], **context)


def _wanted(request: HttpRequest, step: str) -> str:
    """The step to which the button leads that saved this one."""
    before, after = neighbours(step)
    wanted = request.POST.get("go", "")
    if wanted not in STEPS:
        wanted = before if wanted == "back" else after
    return wanted or step


def _next(request: HttpRequest, study: Study, step: str) -> HttpResponse:
    return _to(study, _wanted(request, step))


def _changed(request: HttpRequest, study: Study, step: str) -> None:
    """Note a saved step; a pilot of the study as it was is over."""
    history.record(request.user, study, f"{STEPS[step]} set in the wizard.")
    if study.state == Study.State.PILOTING:
        lifecycle.unfreeze(study)
        messages.info(
            request,
            "The preview is over, for the study is another one now: start it again "
            "from the last step.",
        )


# Pictures -----------------------------------------------------------------------


def begin(request: HttpRequest) -> HttpResponse:
    """Choose an experiment, then pictures of it; the draft is made with the pictures.

    The sheet of an experiment posts the keys it has ticked as `render`.
    """
    ask(request, Study, ADD)
    if request.method == "POST" and request.POST.get("act") == "own":
        study = _new_draft(request, None, "A study of my pictures")
        return redirect("admin:survey_study_upload", study.pk)
    pk = request.GET.get("experiment", "")
    if not pk.isdecimal():
        return _choose_experiment(request)
    experiment = find(request, Experiment.objects.all(), int(pk), VIEW)
    every = set(experiment.renders.ready().values_list("pk", flat=True))
    picker = picker_of(request, experiment, every)
    if request.method == "POST" and request.POST.get("act", "save") == "save":
        title = f"Study of {experiment}"[: Study._meta.get_field("title").max_length]
        try:
            study = _new_draft(request, experiment, title, picker.chosen)
        except CannotOpen as refused:
            messages.error(request, str(refused))
        else:
            return _copied(request, study)
    return _pick(request, None, experiment, picker)


def _choose_experiment(request: HttpRequest) -> HttpResponse:
    its = Render.objects.filter(experiment=OuterRef("pk")).ready()
    found = visible(Experiment, request.user).annotate(ready=count_of(its))
    with_pictures = found.filter(ready__gt=0).order_by("-pk")
    return _page(
        request, None, "pictures", experiments=with_pictures[:MOST_EXPERIMENTS]
    )


def _new_draft(
    request: HttpRequest,
    experiment: Experiment | None,
    title: str,
    chosen: Collection[int] = (),
) -> Study:
    """A draft of one's own; who answers for it is as in one's latest study, unless
    that was the demo's."""
    if experiment is not None and not chosen:
        raise CannotOpen("Tick at least one picture.")
    habits = ("controller", "contact", "language")
    mine = Study.objects.filter(owner_id=request.user.pk).order_by("-pk")
    for name in {*habits} & {*DEMO_WORDS}:
        mine = mine.exclude(**{name: DEMO_WORDS[name]})
    last = mine.first()
    with transaction.atomic():
        study = Study.objects.create(
            title=title,
            experiment=experiment,
            owner_id=request.user.pk,
            **{name: getattr(last, name) for name in habits if last is not None},
        )
        if experiment is not None:
            copying.choose_renders(study, chosen)
        history.record(request.user, study, "Begun in the wizard.", new=True)
    return study


def pictures(request: HttpRequest, study: Study) -> HttpResponse:
    """Which of the experiment's pictures the study shows."""
    experiment = study.experiment
    if experiment is None:
        if request.method == "POST":
            return _next(request, study, "pictures")
        return _page(request, study, "pictures", own=study.stimuli.order_by("pk"))
    if study.all_renders:
        known = set(experiment.renders.ready().values_list("pk", flat=True))
    else:
        shown = study.stimuli.filter(render__isnull=False)
        known = {pk for pk in shown.values_list("render", flat=True) if pk is not None}
        known |= set(copying.to_copy(study).values_list("pk", flat=True))
    picker = picker_of(request, experiment, known)
    if request.method == "POST" and request.POST.get("act", "save") == "save":
        if not picker.chosen:
            messages.error(request, "Tick at least one picture.")
        elif picker.chosen == known and not study.all_renders:
            return _copied(request, study)
        else:
            try:
                with transaction.atomic():
                    copying.choose_renders(study, picker.chosen)
                    _changed(request, study, "pictures")
            except CannotOpen as refused:
                messages.error(request, str(refused))
            else:
                return _copied(request, study)
    return _pick(request, study, experiment, picker)


def _copied(request: HttpRequest, study: Study) -> HttpResponse:
    """On from the pictures, once they are copied."""
    step = _wanted(request, "pictures")
    return go_on_copying(study, step=step) or _to(study, step)


def _pick(
    request: HttpRequest,
    study: Study | None,
    experiment: Experiment,
    picker: Picker,
) -> HttpResponse:
    context = {"experiment": experiment, "picker": picker}
    if request.headers.get("HX-Request"):
        return render(request, "survey/pages/_pick.html", context)
    return _page(request, study, "pictures", **context)


# Forms ---------------------------------------------------------------------------


def fill_in(request: HttpRequest, study: Study, step: str) -> HttpResponse:
    """One of the steps that are forms."""
    if request.method == "POST":
        try:
            with transaction.atomic():
                held = locks.hold_unfrozen(study)
                form, used = _forms(held, step, request.POST)
                if form.is_valid() and (used is None or used.is_valid()):
                    held = form.save()
                    if used is not None:
                        used.save()
                    if form.has_changed() or (used is not None and used.has_changed()):
                        _changed(request, held, step)
                    return _next(request, held, step)
        except CannotOpen as refused:
            # What was typed stays on the page, to be taken into a new version.
            messages.error(request, f"{refused} Nothing of this was saved.")
            study.refresh_from_db()
            form, used = _forms(study, step, request.POST)
    else:
        form, used = _forms(study, step, None)
    context: dict[str, Any] = {"form": form, "marks": used}
    if used is not None:
        pictures = study.stimuli.filter(is_reference=False).count()
        context["more_pictures"] = max(0, pictures - MOST_MARKED)
    if step == "people":
        context |= _people_needed(request, study)
    return _page(request, study, step, **context)


def _forms(study: Study, step: str, sent: Any) -> tuple[StepForm, Any]:
    """A step's form, on a study of its own, for it writes there what it then refuses;
    and, among the checks, the formset of what pictures are used for."""
    form = FORMS[step](sent, instance=copy(study))
    return form, marks(study, sent) if step == "checks" else None


def _people_needed(request: HttpRequest, study: Study) -> dict[str, Any]:
    """How many people give which interval, for an SD that can be typed in."""
    if not method_of(study).has_interval:
        return {}
    items = study.stimuli.filter(rated=True, is_reference=False).count()
    if not items:
        return {}
    each = min(study.trials_each or items, items)
    usual = preflight.typical_sd(study)
    points = preflight.scale_steps(study) / 4
    try:
        sd = float(request.GET.get("sd", ""))
    except ValueError:
        sd = usual
    if not 0.05 * points <= sd <= 2 * points:
        sd = usual
    rows = [
        {
            "half_width": f"{width * points:g}",
            "votes": effort.votes_for(width * points, sd),
            "people": effort.people_for(width * points, sd=sd, items=items, each=each),
        }
        for width in HALF_WIDTHS
    ]
    return {"needed": rows, "sd": f"{sd:g}", "items": items, "each": each,
            "sd_from": f"{0.05 * points:g}", "sd_to": f"{2 * points:g}"}  # fmt: skip


# The last step ---------------------------------------------------------------------


def review(request: HttpRequest, study: Study) -> HttpResponse:
    """Try it, read what is odd, fix what will be analysed, open it."""
    may_open = may(request.user, OPEN, study)
    if request.method == "POST":
        if not may_open:
            raise PermissionDenied
        acts = {"preview": _preview, "throw_away": _throw_away, "open": _open}
        act = acts.get(request.POST.get("act", ""))
        if act is not None:
            try:
                return act(request, study)
            except CannotOpen as refused:
                messages.error(request, str(refused))
        return _to(study, "review")
    pilots = study.participants.filter(pilot=True).count()
    return _page(
        request, study, "review", may_open=may_open, pilots=pilots,
        unfrozen=study.state in locks.UNFROZEN,
        address=request.build_absolute_uri(study.get_absolute_url()),
    )  # fmt: skip


def _preview(request: HttpRequest, study: Study) -> HttpResponse:
    """To the welcome page as somebody who has never been there."""
    if study.state != Study.State.PILOTING:
        if page := go_on_copying(study, step="review"):
            return page
        lifecycle.pilot_study(study)
        history.record(request.user, study, "Previewed from the wizard.")
    address = study.get_absolute_url()
    fragment = ""
    if study.source == Study.Source.INVITATION:
        fragment = f"#{invite(study, 1)[0]}"
    response = redirect(address + fragment)
    response.delete_cookie(COOKIE, path=address, samesite="Lax")
    return response


def _throw_away(request: HttpRequest, study: Study) -> HttpResponse:
    if study.participants.filter(pilot=True).exists() and "sure" not in request.POST:
        messages.error(request, "Tick that the answers of the preview may be deleted.")
        return _to(study, "review")
    people = lifecycle.throw_pilot_away(study)
    sentence = f"The preview is thrown away: {people} trial people were deleted."
    if people == 1:
        sentence = "The preview is thrown away: one trial person was deleted."
    history.record(request.user, study, sentence)
    messages.success(request, sentence)
    return _to(study, "review")


def _open(request: HttpRequest, study: Study) -> HttpResponse:
    if page := go_on_copying(study, act="open", step="review"):
        return page
    lifecycle.open_study(study)
    history.record(request.user, study, f"“{study}” is open.")
    messages.success(request, f"“{study}” is open.")
    return _to(study, "review")
