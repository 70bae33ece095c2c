"""The participant's pages. The server alone knows where a participant is.

Every page works without a script. No session, no account: a participant is known by
the token in one HttpOnly cookie that only this study's pages receive.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from generation.views import send_picture
from survey import services
from survey.forms import AnswerForm, JoinForm
from survey.models import Participant, Stimulus, Study, Trial

COOKIE = "participant"
COOKIE_SECONDS = 30 * 24 * 3600


def _get_study(slug: str) -> Study:
    """The study at this address; a draft has none yet."""
    return get_object_or_404(
        Study.objects.exclude(state=Study.State.DRAFT).select_related("experiment"),
        slug=slug,
    )


def _get_participant(request: HttpRequest, study: Study) -> Participant | None:
    return services.participant_of(study, request.COOKIES.get(COOKIE))


def _page(
    request: HttpRequest, study: Study, name: str, status: int = 200, **context: Any
) -> HttpResponse:
    context["study"] = study
    return render(request, f"survey/{name}.html", context, status=status)


def _refused(
    request: HttpRequest, study: Study, refusal: services.SurveyRefusal
) -> HttpResponse:
    return _page(request, study, "refused", refusal.status, sentence=str(refusal))


@require_GET
@never_cache
def welcome(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study is about, and consent."""
    study = _get_study(slug)
    participant = _get_participant(request, study)
    if participant and participant.status == Participant.Status.FINISHED:
        return redirect("survey:thanks", slug=slug)
    if not study.accepts_answers:
        return _page(request, study, "closed", 410)
    return _page(
        request,
        study,
        "welcome",
        form=JoinForm(),
        participant=participant,
        count=study.stimuli.count(),
    )


@require_POST
@never_cache
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Consent given: plan the session and send the person to the first picture."""
    study = _get_study(slug)
    if _get_participant(request, study):
        return redirect("survey:rate", slug=slug)
    if not study.accepts_answers:
        return _page(request, study, "closed", 410)
    form = JoinForm(request.POST)
    if not form.is_valid():
        return _page(
            request, study, "welcome", 400, form=form, count=study.stimuli.count()
        )
    _, token = services.join(
        study,
        surroundings=form.surroundings(),
        simulated_mark=form.cleaned_data["simulated"],
    )
    response = redirect("survey:rate", slug=slug)
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        path=study.get_absolute_url(),
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


@require_http_methods(["GET", "POST"])
@never_cache
def rate(request: HttpRequest, slug: str) -> HttpResponse:
    """The picture this participant is at; a POST answers one."""
    study = _get_study(slug)
    participant = _get_participant(request, study)
    if participant is None:
        return redirect("survey:welcome", slug=slug)
    if request.method == "POST":
        return _answer(request, study, participant)
    trial = participant.next_trial()
    if trial is None:
        return redirect("survey:thanks", slug=slug)
    if not study.accepts_answers:
        return _page(request, study, "closed", 410, participant=participant)
    return _rating_page(request, study, participant, trial)


def _answer(
    request: HttpRequest, study: Study, participant: Participant
) -> HttpResponse:
    form = AnswerForm(request.POST)
    if not form.is_valid():
        trial = participant.next_trial()
        if trial is None:
            return redirect("survey:thanks", slug=study.slug)
        sentence = "Please choose one of the five answers."
        return _rating_page(request, study, participant, trial, sentence, 400)
    cleaned = form.cleaned_data
    try:
        services.answer(
            participant,
            trial_pk=cleaned["trial"],
            rating=cleaned["rating"],
            client_id=cleaned["client_id"],
            response_ms=cleaned["response_ms"],
        )
    except services.SurveyRefusal as refusal:
        return _refused(request, study, refusal)
    return redirect("survey:rate", slug=study.slug)


def _rating_page(
    request: HttpRequest,
    study: Study,
    participant: Participant,
    trial: Trial,
    sentence: str = "",
    status: int = 200,
) -> HttpResponse:
    return _page(
        request,
        study,
        "rate",
        status,
        participant=participant,
        trial=trial,
        count=participant.trials.count(),
        choices=AnswerForm.choices,
        sentence=sentence,
    )


@require_GET
@never_cache
def thanks(request: HttpRequest, slug: str) -> HttpResponse:
    """Shown only after the server has counted every planned answer."""
    study = _get_study(slug)
    participant = _get_participant(request, study)
    if participant is None:
        return redirect("survey:welcome", slug=slug)
    if participant.next_trial() is not None:
        return redirect("survey:rate", slug=slug)
    return _page(
        request,
        study,
        "thanks",
        participant=participant,
        count=participant.trials.count(),
    )


@require_http_methods(["GET", "POST"])
@never_cache
def withdraw(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask once, then delete the participant's answers."""
    study = _get_study(slug)
    participant = _get_participant(request, study)
    if participant is None:
        return redirect("survey:welcome", slug=slug)
    if request.method == "GET":
        return _page(request, study, "withdraw", participant=participant)
    services.withdraw(participant)
    response = _page(request, study, "withdrawn")
    response.delete_cookie(COOKIE, path=study.get_absolute_url(), samesite="Lax")
    return response


@require_GET
def picture(request: HttpRequest, slug: str, code: str) -> HttpResponseBase:
    """A stimulus, for people who take part in its study and for researchers."""
    study = _get_study_of_picture(request, slug)
    stimulus = get_object_or_404(Stimulus, study=study, code=code)
    return send_picture(stimulus.picture)


def _get_study_of_picture(request: HttpRequest, slug: str) -> Study:
    if request.COOKIES.get(COOKIE):
        study = _get_study(slug)
        if _get_participant(request, study):
            return study
    if request.user.is_staff and request.user.has_perm("survey.view_stimulus"):
        return get_object_or_404(Study, slug=slug)
    raise PermissionDenied("This picture is shown to participants only.")
