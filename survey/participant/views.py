"""The participant's pages. The server alone knows where a participant is.

Every page works without a script. No session, no account: a participant is known by
the code in one HttpOnly cookie that only this study's pages receive.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.crypto import salted_hmac
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from nstlab.core.access import VIEW, may, seen_by
from nstlab.core.pictures import send_picture
from survey.codes import grouped
from survey.methods import method_of
from survey.models import CHECKS, Participant, Recruit, Stimulus, Study, Trial
from survey.participant import (
    answering,
    joining,
    leaving,
    presence,
    rate_limits,
    vision_checks,
)
from survey.participant.forms import CodeForm, JoinForm, QuestionnaireForm, SentAnswer
from survey.participant.platforms import (
    PLATFORMS,
    link_is_unfilled,
    link_of,
    recruit_of,
    sent_by_platform,
)
from survey.refusals import (
    AlreadyAnswered,
    BegunBefore,
    NotJoining,
    NotOnTheScale,
    StudyNotOpen,
    SurveyRefusal,
)
from survey.study_texts import choose_language, form_words, languages_of, texts_of

COOKIE = "participant"
COOKIE_SECONDS = 30 * 24 * 3600

RECEIPT_SECONDS = 600
"""How long after finishing the receipt's code is shown: the next person at a shared
computer must not find it."""
RECEIPT_COOKIE = "receipt"
"""Who finished long ago and gets a new code is shown that one, too."""

BY_SCRIPT = "X-Survey"
"""The header by which rate.js asks for the next trial alone, not for a whole page.

Every page of a study carries it too, with its name: so the script knows the lab's own
replies from those of a proxy or of a network's sign-in page.
"""

OUTBOX_SALT = "survey.outbox"

View = Callable[..., HttpResponse]


# Who is here, at which study, in which language ------------------------------------


def _study_for_visitors(slug: str) -> Study:
    """The version at this address that takes people: the newest open one.

    Else the newest that is not a draft; a study that was only drafted has no page.
    """
    versions = (
        Study.objects.filter(slug=slug)
        .exclude(state=Study.State.DRAFT)
        .select_related("experiment")
        .order_by("-version")
    )
    taking = [study for study in versions if study.accepts_answers]
    if not (chosen := next(iter(taking or versions), None)):
        raise Http404("There is no study at this address.")
    return chosen


def _visit(
    view: Callable[[HttpRequest, Study, Participant | None], HttpResponse],
) -> View:
    """A page for anybody, in the study's or their own language."""

    @wraps(view)
    @never_cache
    def wrapped(request: HttpRequest, slug: str) -> HttpResponse:
        participant = _get_participant(request, slug)
        study = participant.study if participant else _study_for_visitors(slug)
        language = (
            participant.language if participant else choose_language(request, study)
        )
        with translation.override(language):
            try:
                return view(request, study, participant)
            except SurveyRefusal as refusal:
                return _refused(request, study, refusal, participant)

    return wrapped


def _inside(
    *pages: str,
) -> Callable[[Callable[[HttpRequest, Participant], HttpResponse]], View]:
    """A page for those who have joined; who belongs on another page is sent there.

    `pages` names where a participant may be to see this one; none means anywhere.
    """

    def decorate(view: Callable[[HttpRequest, Participant], HttpResponse]) -> View:
        @wraps(view)
        @never_cache
        def wrapped(request: HttpRequest, slug: str) -> HttpResponse:
            participant = _get_participant(request, slug, rating="rate" in pages)
            if participant is None:
                return _not_inside(request, slug)
            with translation.override(participant.language):
                if request.method == "GET" and pages:
                    place = presence.place_of(participant)
                    if place not in pages:
                        return redirect(f"survey:{place}", slug=slug)
                try:
                    return view(request, participant)
                except Participant.DoesNotExist:  # it made way while this was sent
                    return _not_inside(request, slug)
                except SurveyRefusal as refusal:
                    return _refused(
                        request, participant.study, refusal, participant, inside=True
                    )

        return wrapped

    return decorate


def _get_participant(
    request: HttpRequest, slug: str, *, rating: bool = False
) -> Participant | None:
    token = request.COOKIES.get(COOKIE)
    return presence.participant_of(slug, token, rating=rating)


def _page(
    request: HttpRequest, study: Study, name: str, status: int = 200, **context: Any
) -> HttpResponse:
    context["study"] = study
    language = translation.get_language() or study.language
    context["texts"] = texts_of(study, language)
    context["rtl"] = translation.get_language_bidi()
    context["query"] = _query(request)
    response = render(request, f"survey/{name}.html", context, status=status)
    response[BY_SCRIPT] = name
    return response


def _carried(request: HttpRequest) -> dict[str, str]:
    """The parameters of a recruiting platform's link: by them people are paid."""
    sent = {**request.GET.dict(), **request.POST.dict()}
    names = [name for pair in PLATFORMS.values() for name in pair]
    return {name: str(sent[name])[:100] for name in names if sent.get(name)}


def _query(request: HttpRequest) -> str:
    """The query that addresses within the study carry on, so that no link loses it."""
    said = _carried(request)
    if language := request.POST.get("lang") or request.GET.get("lang"):
        said["lang"] = language[:10]
    return f"?{urlencode(said)}" if said else ""


def _refused(
    request: HttpRequest,
    study: Study,
    refusal: SurveyRefusal,
    participant: Participant | None,
    *,
    inside: bool = False,
) -> HttpResponse:
    """Say a refusal; `inside`: of something that only participants send."""
    over = isinstance(refusal, StudyNotOpen)
    if participant:
        of_platform = Recruit.objects.filter(participant=participant).exists()
    else:
        of_platform = sent_by_platform(_carried(request))
    return _page(
        request,
        study,
        "closed" if over else "refused",
        refusal.status,
        sentence=str(refusal),
        participant=participant,
        inside=inside,
        screened_out=of_platform and (over or participant is None),
    )


def _not_inside(request: HttpRequest, slug: str) -> HttpResponse:
    """A page for those who have joined, asked for by a browser that has no session, or
    none any more: what it sent must not vanish without a word."""
    if moved := presence.moved_on(slug, request.COOKIES.get(COOKIE)):
        return _moved(request, moved)
    study = _study_for_visitors(slug)
    if request.method != "POST":
        return redirect(study.get_absolute_url() + _query(request))
    with translation.override(choose_language(request, study)):
        return _elsewhere(request, study, None)


def _moved_on(request: HttpRequest, study: Study) -> Participant | None:
    """Find whom to tell that their session is in another browser, before they start a
    second one: not whom a link brings that leads back into theirs."""
    if study.source == Study.Source.INVITATION or recruit_of(_carried(request)):
        return None
    return presence.moved_on(study.slug, request.COOKIES.get(COOKIE))


KEPT_BY_SCRIPT = "kept"
"""In the header BY_SCRIPT: the answer is not stored, and rate.js keeps it on."""


def _elsewhere(
    request: HttpRequest, study: Study, moved: Participant | None
) -> HttpResponse:
    """The session is in another browser now, or not known to this one any more; what
    became of the answer just sent."""
    sentence, said = _fate(request, moved)
    back = ""
    if moved and (recruit := Recruit.objects.filter(participant=moved).first()):
        back = f"?{urlencode(link_of(recruit) | {'lang': moved.language})}"
    response = _page(
        request, study, "elsewhere", 409, moved=moved, sentence=sentence, back=back
    )
    response[BY_SCRIPT] = said
    return response


def _moved(request: HttpRequest, moved: Participant) -> HttpResponse:
    with translation.override(moved.language):
        return _elsewhere(request, moved.study, moved)


def _fate(request: HttpRequest, moved: Participant | None) -> tuple[str, str]:
    """Say what became of what was just sent: a sentence, and a word for rate.js."""
    said = "elsewhere"
    if request.method != "POST" or {"break", "missing"} & set(request.POST):
        return "", said
    sent = SentAnswer.read(request.POST)
    try:
        if (
            moved
            and sent.trial is not None
            and answering.was_stored(
                moved,
                trial_pk=sent.trial,
                answers=sent.answers,
                client_id=sent.client_id,
            )
        ):
            return _("What you just sent is stored."), said
    except AlreadyAnswered as answered:
        return str(answered), said
    if sent.trial is not None and request.headers.get(BY_SCRIPT):
        return _(
            "Your last answer is not stored yet. It is kept in this browser and is "
            "sent if you go on here."
        ), KEPT_BY_SCRIPT
    return _("What you just sent was not stored."), said


def _keep_code(response: HttpResponse, study: Study, token: str) -> HttpResponse:
    return _keep(response, study, COOKIE, token, COOKIE_SECONDS)


def _keep(
    response: HttpResponse, study: Study, name: str, value: str, seconds: int
) -> HttpResponse:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=study.get_absolute_url(),
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def _without_code(response: HttpResponse, study: Study) -> HttpResponse:
    for name in (COOKIE, RECEIPT_COOKIE):
        response.delete_cookie(name, path=study.get_absolute_url(), samesite="Lax")
    return response


def _to_place(participant: Participant) -> HttpResponse:
    place = presence.place_of(participant)
    return redirect(f"survey:{place}", slug=participant.study.slug)


# Coming in ------------------------------------------------------------------------


@require_GET
@_visit
def welcome(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Tell what the study is about, and ask for consent."""
    if participant:
        if participant.status == Participant.Status.FINISHED:
            return _thanks(request, participant)
        if not study.accepts_answers:
            raise StudyNotOpen(NotJoining.CLOSED)
        return _page(request, study, "welcome", participant=participant)
    if moved := _moved_on(request, study):
        return _moved(request, moved)
    reason = joining.why_nobody_joins(study)
    if reason and not _may_return(request, study, reason):
        raise StudyNotOpen(reason)
    return _welcome(request, study, JoinForm(study=study))


def _may_return(request: HttpRequest, study: Study, reason: NotJoining) -> bool:
    """Tell whether somebody whom a platform sends again gets their session back."""
    recruit = recruit_of(_carried(request))
    known = joining.recruited(study, recruit) if recruit else None
    if known is None:
        return False
    return reason != NotJoining.CLOSED or known.status == Participant.Status.FINISHED


def _welcome(
    request: HttpRequest,
    study: Study,
    form: JoinForm,
    status: int = 200,
    instead: str = "",
) -> HttpResponse:
    """Show the welcome page; `instead` is the key of the form that somebody sent again
    and then starts anew."""
    carried = _carried(request)
    return _page(
        request,
        study,
        "welcome",
        status,
        form=form,
        key=joining.consent_key(),
        instead=instead,
        carried=list(carried.items()),
        languages=[
            (code, translation.get_language_info(code)["name_local"])
            for code in languages_of(study)
        ],
        how_many=method_of(study).how_many(study.trials_each or study.items.count()),
    )


@sensitive_post_parameters("key", "instead", "invitation")
@require_POST
@_visit
def join(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Consent given: plan the session and send the person to the first page."""
    if participant:
        return _to_place(participant)
    if moved := _moved_on(request, study):
        return _moved(request, moved)
    form = JoinForm(request.POST, study=study)
    if not form.is_valid():
        instead = request.POST.get("instead", "")
        return _welcome(request, study, form, 400, instead=instead)
    sent = form.cleaned_data
    if sent["again"] == "anew":
        anew = JoinForm(study=study, initial={"invitation": sent["invitation"]})
        return _welcome(request, study, anew, instead=sent["key"])
    rate_limits.count_join(request)
    try:
        participant, token = joining.join(
            study,
            surroundings=form.surroundings(),
            simulated_mark=sent["simulated"],
            language=translation.get_language() or study.language,
            invitation=sent["invitation"],
            recruit=recruit_of(request.POST),
            unfilled_link=link_is_unfilled(request.POST),
            key=sent["key"],
            go_on=sent["again"] == "go-on",
            instead=sent["instead"],
        )
    except BegunBefore as before:
        return _again(request, study, form, before)
    response = _keep_code(_to_place(participant), study, token)
    if participant.status == Participant.Status.FINISHED:
        return _keep(response, study, RECEIPT_COOKIE, "new", RECEIPT_SECONDS)
    return response


def _again(
    request: HttpRequest, study: Study, form: JoinForm, before: BegunBefore
) -> HttpResponse:
    """Somebody has begun from this very form: go on, or start anew?"""
    names = (set(form.fields) | set(_carried(request)) | {"lang"}) - {"again"}
    fields = [(name, value) for name, value in form.data.items() if name in names]
    return _page(
        request, study, "again", before.status, answered=before.answered, fields=fields
    )


@require_POST
@_visit
def forget(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Somebody else is at this browser now; who was has only their code."""
    return _without_code(redirect(study.get_absolute_url() + _query(request)), study)


@require_GET
@_visit
def declined(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Part from those who do not or may not take part: nothing is stored of them."""
    return _page(request, study, "declined", participant=participant)


@require_http_methods(["GET", "POST"])
@_visit
def resume(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Go on with the code from another device. The code is never in an address."""
    form = CodeForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        status = 200 if request.method == "GET" else 400
        return _page(
            request, study, "resume", status, form=form, participant=participant
        )
    token = form.cleaned_data["code"]
    with rate_limits.counting_wrong_codes(request):
        participant = presence.resume(study.slug, token)
    return _keep_code(_to_place(participant), study, token)


# Before and after the pictures --------------------------------------------------------


def _questionnaire(
    request: HttpRequest, participant: Participant, placement: str
) -> HttpResponse:
    study = participant.study
    form = QuestionnaireForm(
        request.POST or None,
        items=presence.form_items(study, placement),
        words=form_words(study, participant.language),
        comment=placement == "after" and study.ask_comment,
    )
    if request.method == "POST" and form.is_valid():
        answering.keep_form(participant, placement, form.answers())
        participant.refresh_from_db()
        return _to_place(participant)
    return _page(
        request,
        study,
        "questionnaire",
        400 if form.errors else 200,
        participant=participant,
        form=form,
        after=placement == "after",
    )


@require_http_methods(["GET", "POST"])
@_inside("before")
def before(request: HttpRequest, participant: Participant) -> HttpResponse:
    """The form before the pictures."""
    return _questionnaire(request, participant, "before")


@require_http_methods(["GET", "POST"])
@_inside("after")
def after(request: HttpRequest, participant: Participant) -> HttpResponse:
    """The form after the pictures, and the comment."""
    return _questionnaire(request, participant, "after")


@require_http_methods(["GET", "POST"])
@_inside("checks")
def checks(request: HttpRequest, participant: Participant) -> HttpResponse:
    """The checks of screen and eyes; only passed or failed is kept."""
    study = participant.study
    asked = [name for name in CHECKS if getattr(study, f"check_{name}")]
    if request.method == "POST":
        largest = study.stimuli.order_by("-width").first()
        results = vision_checks.judge(
            asked, request.POST, seed=participant.seed,
            needed=(largest.width, largest.height) if largest else (0, 0),
        )  # fmt: skip
        answering.keep_checks(participant, results)
        participant.refresh_from_db()
        return _to_place(participant)
    questions = [
        vision_checks.BY_NAME[name] for name in asked if name in vision_checks.BY_NAME
    ]
    return _page(
        request, study, "checks", participant=participant, vision_checks=questions,
        viewport="viewport" in asked,
    )  # fmt: skip


@require_GET
def vision_check(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """The picture of a check as SVG, drawn for this participant."""
    participant = _get_participant(request, slug)
    if participant is None or name not in vision_checks.BY_NAME:
        raise Http404("There is no such check.")
    svg = vision_checks.BY_NAME[name].draw(participant.seed)
    response = HttpResponse(svg, content_type="image/svg+xml")
    response["Cache-Control"] = "private, no-store"
    return response


# The pictures ---------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@_inside("rate")
def rate(request: HttpRequest, participant: Participant) -> HttpResponse:
    """The picture this participant is at; a POST answers one or ends a break."""
    if participant.shown_at is None and not joining.note_shown(participant):
        return _not_inside(request, participant.study.slug)
    if request.method == "POST":
        if pk := request.POST.get("break"):
            answering.end_break(participant, int(pk) if pk.isdecimal() else 0)
            return _next(request, participant)
        if "missing" in request.POST:
            return _missing(participant, request.POST)
        return _answer(request, participant)
    return _rating_page(request, participant)


def _missing(participant: Participant, sent: QueryDict) -> HttpResponse:
    """A picture did not load. Who never sees it never says so with an answer."""
    failed = SentAnswer.read(sent)
    if failed.trial is not None:
        answering.note_missing(participant, failed.trial, failed.load_failures)
    return HttpResponse(status=204)


def _answer(request: HttpRequest, participant: Participant) -> HttpResponse:
    sent = SentAnswer.read(request.POST)
    refusal, coming = "", None
    if sent.trial is None:
        refusal = str(NotOnTheScale())
    else:
        try:
            coming = answering.answer(
                participant,
                trial_pk=sent.trial,
                answers=sent.answers,
                client_id=sent.client_id,
                response_ms=sent.response_ms,
                displayed_scale=sent.displayed_scale,
                load_failures=sent.load_failures,
            )
        except NotOnTheScale as not_answered:
            refusal = str(not_answered)
    if refusal:
        return _rating_page(request, participant, refusal, 400)
    return _next(request, participant, coming)


def _next(
    request: HttpRequest, participant: Participant, coming: list[Trial] | None = None
) -> HttpResponse:
    """Answer a post by a redirect, or the script by what comes next."""
    if request.headers.get(BY_SCRIPT):
        return _rating_page(request, participant, coming=coming)
    return redirect("survey:rate", slug=participant.study.slug)


def _rating_page(
    request: HttpRequest,
    participant: Participant,
    sentence: str = "",
    status: int = 200,
    coming: list[Trial] | None = None,
) -> HttpResponse:
    study = participant.study
    by_script = bool(request.headers.get(BY_SCRIPT))
    if coming is None:
        coming = participant.trials.upcoming(2)
    trial, ahead = [*coming, None, None][:2]
    if trial is None or trial.stimulus is None:
        if not by_script:
            return _to_place(participant)
        response = HttpResponse(status=204)
        place = presence.place_of(participant)
        response[BY_SCRIPT] = reverse(f"survey:{place}", args=[study.slug])
        return response
    if not study.accepts_answers:
        raise StudyNotOpen(NotJoining.CLOSED)
    context = _trial_context(participant, study, trial, ahead)
    name = "trial" if by_script else "rate"
    return _page(request, study, name, status, sentence=sentence, **context)


def _trial_context(
    participant: Participant, study: Study, trial: Trial, ahead: Trial | None
) -> dict[str, Any]:
    method = method_of(study)
    is_training = trial.kind == Trial.Kind.TRAINING
    return {
        "participant": participant,
        "trial": trial,
        "pictures": _pictures(trial),
        "ahead": [it for it in (ahead.stimulus, ahead.second) if it] if ahead else [],
        "count": participant.planned,
        "method": method,
        "choices": method.choices(study),
        "instruction": method.spoken(study, trial.expected) if trial.instructed else "",
        "training": is_training,
        "first_counted": 0 < participant.practice == trial.index - 1,
        "person": _outbox(participant),
        "on_break": trial.break_before and trial.break_ended_at is None,
    }


def _outbox(participant: Participant) -> str:
    """The name of a participant's outbox in a browser that several people may use."""
    return salted_hmac(OUTBOX_SALT, str(participant.pk)).hexdigest()[:16]


def _pictures(trial: Trial) -> list[Stimulus]:
    """The pictures shown, from left to right, or the original and then the picture."""
    shown = [it for it in (trial.stimulus, trial.second) if it is not None]
    if trial.side == Trial.Side.RIGHT:
        shown.reverse()
    return shown


@require_GET
@_inside("thanks")
def thanks(request: HttpRequest, participant: Participant) -> HttpResponse:
    """Shown only after the server has counted every planned answer."""
    shown_until = timezone.now() - dt.timedelta(seconds=RECEIPT_SECONDS)
    done_at = participant.finished_at
    if done_at and done_at < shown_until and RECEIPT_COOKIE not in request.COOKIES:
        return _thanks(request, participant)
    return _thanks(request, participant, receipt=_code_of(request))


def _thanks(
    request: HttpRequest, participant: Participant, receipt: str = ""
) -> HttpResponse:
    return _page(
        request,
        participant.study,
        "thanks",
        participant=participant,
        count=participant.planned,
        receipt=receipt,
        over=_outbox(participant),
        withdraw_address=request.build_absolute_uri(
            reverse("survey:withdraw", args=[participant.study.slug])
        ),
    )


def _code_of(request: HttpRequest) -> str:
    return grouped(request.COOKIES[COOKIE].replace("-", ""))


# Leaving --------------------------------------------------------------------------


@require_GET
@_inside("before", "checks", "rate", "after")
def code(request: HttpRequest, participant: Participant) -> HttpResponse:
    """The participant's code, to go on elsewhere or to withdraw later."""
    token = _code_of(request)
    study = participant.study
    link = request.build_absolute_uri(reverse("survey:resume", args=[study.slug]))
    return _page(
        request, study, "code", participant=participant, token=token,
        link=f"{link}#{token}",
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@_visit
def withdraw(
    request: HttpRequest, study: Study, participant: Participant | None
) -> HttpResponse:
    """Ask once, then delete the answers of this browser, or those of a code: others
    may have taken part in this browser since."""
    form = CodeForm(request.POST if request.method == "POST" else None)
    form.fields["code"].required = participant is None
    if request.method == "GET" or not form.is_valid():
        status = 200 if request.method == "GET" else 400
        return _page(
            request, study, "withdraw", status, participant=participant, form=form
        )
    person, sent = participant, form.cleaned_data["code"]
    if sent or person is None:
        with rate_limits.counting_wrong_codes(request):
            person = presence.whose(study.slug, sent)
    leaving.withdraw(person)
    response = _page(request, study, "withdrawn", over=_outbox(person))
    stays = participant is not None and participant.pk != person.pk
    return response if stays else _without_code(response, study)


@require_GET
def picture(request: HttpRequest, slug: str, code: str) -> HttpResponseBase:
    """A stimulus, for people who take part in its study and for researchers."""
    name = None
    if token := request.COOKIES.get(COOKIE):
        name = presence.picture_name(slug, token, code)
    if name is None:
        if not (request.user.is_staff and may(request.user, VIEW, Stimulus)):
            raise PermissionDenied("This picture is shown to participants only.")
        every = Stimulus.objects.filter(study__slug=slug, code=code)
        shown = seen_by(request.user, every)
        name = shown.values_list("picture", flat=True).first()
    if name is None:
        raise Http404("There is no such picture.")
    return send_picture(Stimulus(picture=name).picture)
