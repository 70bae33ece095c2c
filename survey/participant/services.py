"""What happens to a participant: joining, answering, coming back, withdrawing."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from survey import planning
from survey.methods import method_of
from survey.models import (
    CHECKS,
    DROPPED_AFTER,
    READABLE,
    FormAnswer,
    FormerToken,
    FormItem,
    Invitation,
    Participant,
    Rating,
    Recruit,
    Stimulus,
    Study,
    Trial,
    readable_code,
    token_hash,
)
from survey.refusals import (
    AlreadyAnswered,
    BegunBefore,
    InvitationNeeded,
    NotOnTheScale,
    NotThereYet,
    NotYourTrial,
    StudyNotOpen,
    UnknownCode,
)
from survey.signals import answers_withdrawn

log = logging.getLogger(__name__)

SIMULATED_SALT = "survey.simulated"

# 31^24: about 119 bits, in six groups that a person can copy from paper.
CODE_LENGTH = 24

KEEP_RECRUITS = dt.timedelta(days=60)

KEY_SALT = "survey.consent_key"
JOIN_AGAIN = dt.timedelta(seconds=60)
"""How long a consent form that is sent again is a double click or a lost reply."""
KEEP_KEYS = dt.timedelta(days=1)
"""How long a consent form is known, to ask who sends it again."""


# Joining ------------------------------------------------------------------------


def simulated_mark(study: Study) -> str:
    """What a simulated participant shows on joining, so that it is marked as one."""
    return signing.dumps(study.pk, salt=SIMULATED_SALT)


def _is_simulated(study: Study, mark: str) -> bool:
    try:
        return bool(mark) and signing.loads(mark, salt=SIMULATED_SALT) == study.pk
    except signing.BadSignature:
        return False


def grouped(code: str) -> str:
    """A code as people read it: four letters and digits at a time."""
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


def consent_key() -> str:
    """A new key for one showing of the consent form: 192 random bits."""
    return secrets.token_urlsafe(24)


def _key_hash(key: str) -> str:
    """What is kept of a consent form's key; "" for what `consent_key` never made."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{32}", key):
        return ""
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def join(
    study: Study,
    *,
    surroundings: Mapping[str, Any],
    simulated_mark: str = "",
    language: str = "en",
    invitation: str = "",
    recruit: tuple[str, str, str] | None = None,
    unfilled_link: bool = False,
    key: str = "",
    go_on: bool = False,
    instead: str = "",
) -> tuple[Participant, str]:
    """A new participant with their session planned, and their secret code.

    `surroundings` holds device_class, viewport and pixel_ratio as far as known;
    `recruit` is (platform, person, session) of a recruiting platform. Somebody whom
    the platform sends again gets their own session back, under a new code; the first
    one still withdraws. `unfilled_link`: a platform's link named nobody, and the
    researcher is told.

    `key` is the consent form's: sent again within JOIN_AGAIN and before anything was
    answered, or with `go_on` as long as nothing was answered, it gets the same session
    under the same code. A session that has shown nothing makes way for whoever comes by
    the same one-time link, or starts anew `instead` of the one begun with that key.
    Raises BegunBefore, StudyNotOpen and InvitationNeeded.
    """
    if recruit:
        _hold_recruited(study, recruit)
    # Held, so that numbers, quotas and one-time links are counted one by one.
    held = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    now = timezone.now()
    simulated = _is_simulated(held, simulated_mark)
    begun = _begun_with(held, key, simulated=simulated)
    answered = begun is not None and _has_answered(begun)
    if begun and not answered and (go_on or _sent_just_now(begun, now)):
        return begun, _give_code(begun, key, now)
    if recruit and (known := recruited(held, recruit, simulated=simulated)):
        return known, _give_code(known, key, now)
    if begun:
        raise BegunBefore(answered=answered)
    by_link = held.source == Study.Source.INVITATION and not simulated
    link = _invitation(held, invitation) if by_link else None
    left = _left_unseen(held, link, instead, simulated=simulated)
    if reason := _refuses(held, left, now):
        raise StudyNotOpen(REFUSED_JOINING[reason]())
    if by_link:
        _use(link, left)
    pilot = held.state == Study.State.PILOTING
    participant = Participant(
        study=held,
        number=held.participants.filter(pilot=pilot, simulated=simulated).count(),
        study_version=held.version,
        consent_sha256=held.consent_sha256(),
        language=language,
        key_sha256=_key_hash(key),
        key_expires_at=now + KEEP_KEYS if _key_hash(key) else None,
        seed=secrets.randbits(62),
        pilot=pilot,
        simulated=simulated,
        unfilled_link=unfilled_link,
        **surroundings,
    )
    token = _new_code(participant, key)
    participant.token_sha256 = token_hash(token)
    former = _make_way(left, participant) if left else []
    participant.save()
    FormerToken.objects.bulk_create(
        [FormerToken(participant=participant, token_sha256=each) for each in former]
    )
    if link:
        Invitation.objects.filter(pk=link.pk).update(participant=participant)
    planning.plan(participant, held)
    if not participant.trials.filter(kind=Trial.Kind.RATING).exists():
        raise StudyNotOpen(REFUSED_JOINING["full"]())
    if recruit:
        platform, person, session = recruit
        Recruit.objects.create(
            participant=participant,
            platform=platform,
            person=person,
            session=session,
            delete_on=(now + KEEP_RECRUITS).date(),
        )
    return participant, token


def _hold_recruited(study: Study, recruit: tuple[str, str, str]) -> None:
    """Hold whoever may come again before the study, as whoever answers does; in
    another order the two would wait for each other."""
    platform, person, _session = recruit
    known = Participant.objects.filter(
        study=study, recruit__platform=platform, recruit__person=person
    )
    _hold_in_order(known)


def _begun_with(study: Study, key: str, *, simulated: bool) -> Participant | None:
    """Whose session this very consent form began, at this address."""
    if not (key_sha256 := _key_hash(key)):
        return None
    made = Q(key_sha256=key_sha256, key_expires_at__gt=timezone.now())
    return _taking_part(study.slug, made).filter(simulated=simulated).first()


def _sent_just_now(begun: Participant, now: dt.datetime) -> bool:
    expires = begun.key_expires_at
    return expires is not None and now < expires - KEEP_KEYS + JOIN_AGAIN


def _has_answered(participant: Participant) -> bool:
    """Whether anything is stored that somebody said."""
    if participant.form_done_at or participant.checks_done_at:
        return True
    return participant.trials.filter(answered_at__isnull=False).exists()


def _new_code(participant: Participant, key: str) -> str:
    """A secret code: the same one whenever the same consent form is sent for the same
    session, for of two replies to a double click the browser keeps either cookie."""
    if not _key_hash(key):
        return readable_code(CODE_LENGTH)
    said = f"{participant.code}:{key}"
    digest = salted_hmac(KEY_SALT, said, algorithm="sha256").digest()
    number, letters = int.from_bytes(digest), []
    for _place in range(CODE_LENGTH):
        number, letter = divmod(number, len(READABLE))
        letters.append(READABLE[letter])
    return "".join(letters)


def _give_code(known: Participant, key: str, now: dt.datetime) -> str:
    """The code of somebody who comes again, in place of the one before."""
    token = _new_code(known, key)
    if known.token_sha256 == token_hash(token):
        return token
    retired = FormerToken(participant=known, token_sha256=known.token_sha256)
    FormerToken.objects.bulk_create([retired], ignore_conflicts=True)
    Participant.objects.filter(pk=known.pk).update(
        token_sha256=token_hash(token),
        former_sha256=known.former_sha256 or known.token_sha256,
        key_sha256=_key_hash(key),
        key_expires_at=now + KEEP_KEYS if _key_hash(key) else None,
    )
    return token


def _left_unseen(
    study: Study, link: Invitation | None, instead: str, *, simulated: bool
) -> Participant | None:
    """Who was let in by the same one-time link and has seen no picture, or by the form
    that is started anew and has not said anything either. Held, so that none is shown
    meanwhile; whose row somebody else holds is here, and not left."""
    pk = link.participant_id if link else None
    if pk is None and (begun := _begun_with(study, instead, simulated=simulated)):
        pk = None if _has_answered(begun) else begun.pk
    if pk is None:
        return None
    unseen = Participant.objects.select_for_update(of=("self",), skip_locked=True)
    left = (
        unseen.filter(pk=pk, shown_at=None, simulated=simulated)
        .exclude(status=Participant.Status.WITHDRAWN)
        .first()
    )
    answered = left and left.trials.filter(answered_at__isnull=False).exists()
    return None if answered else left


def _refuses(study: Study, left: Participant | None, now: dt.datetime) -> str:
    """As `why_nobody_joins`; but a full study has the place that somebody leaves."""
    reason = why_nobody_joins(study)
    if reason != "full" or left is None or planning.is_complete(study):
        return reason
    holds_a_place = (
        left.counts
        and left.study_id == study.pk
        and left.status == Participant.Status.STARTED
        and left.seen_at > now - DROPPED_AFTER
    )
    return "" if holds_a_place else reason


def _make_way(left: Participant, participant: Participant) -> list[str]:
    """Delete a session that has shown nothing, for `participant` in its place; returns
    the hashes of its codes, whose browsers are to be told."""
    pool = ("study_id", "pilot", "simulated")
    if all(getattr(left, name) == getattr(participant, name) for name in pool):
        participant.number = left.number
    former = left.former_tokens.values_list("token_sha256", flat=True)
    codes = {left.token_sha256, *former}  # a former one may be in use again
    left.delete()
    return sorted(codes)


def note_shown(participant: Participant) -> bool:
    """Somebody is shown their first picture: from here on their session is theirs, and
    who used which one-time link is forgotten. False if it made way for another one."""
    with transaction.atomic():
        row = Participant.objects.filter(pk=participant.pk)
        shown = row.update(shown_at=timezone.now())
        if participant.study.source == Study.Source.INVITATION:
            Invitation.objects.filter(participant=participant.pk).update(
                participant=None
            )
    return bool(shown)


def forget_keys(now: dt.datetime | None = None) -> int:
    """Forget the consent forms that can be sent again no more; returns how many."""
    expired = Participant.objects.filter(key_expires_at__lte=now or timezone.now())
    with transaction.atomic():
        _hold_in_order(expired)
        return expired.update(key_sha256="", key_expires_at=None)


def _hold_in_order(people: QuerySet[Participant]) -> None:
    """Hold several people in the order of their keys, as `opening.hold_people` does;
    an update of them holds them in whatever order it finds them."""
    held = people.select_for_update(of=("self",)).order_by("pk")
    list(held.values_list("pk", flat=True))


def why_nobody_joins(study: Study) -> str:
    """As `Study.refuses_joining`, also where every picture is as precise as wanted."""
    return study.refuses_joining() or ("full" if planning.is_complete(study) else "")


REFUSED_JOINING = {
    "closed": lambda: _("This study is closed."),
    "early": lambda: _("This study has not begun yet."),
    "late": lambda: _("This study has ended."),
    "full": lambda: _("This study has all the answers it needs."),
}


def recruited(
    study: Study, recruit: tuple[str, str, str], *, simulated: bool = False
) -> Participant | None:
    """Whom a recruiting platform sent to this study before, unless withdrawn.

    Nobody of the pilot once it is over: what they answered there does not count.
    """
    platform, person, _session = recruit
    return (
        Participant.objects.filter(
            study=study,
            recruit__platform=platform,
            recruit__person=person,
            pilot=study.state == Study.State.PILOTING,
            simulated=simulated,
        )
        .exclude(status=Participant.Status.WITHDRAWN)
        .first()
    )


def _invitation(study: Study, code: str) -> Invitation | None:
    """The one-time link with this code, used or not."""
    links = Invitation.objects.filter(study__slug=study.slug)
    return links.filter(token_sha256=token_hash(code)).first()


def _use(link: Invitation | None, left: Participant | None) -> None:
    """Use a one-time link up, unless whoever it let in makes way. Raises
    InvitationNeeded."""
    if link and left and left.pk == link.participant_id:
        return
    unused = Invitation.objects.filter(pk=link.pk, used=False) if link else None
    if unused is None or not unused.update(used=True):
        raise InvitationNeeded(
            _(
                "This study is by invitation, and this invitation is unknown or was "
                "used before. If you have begun, use the code you were shown then."
            )
        )


def invite(study: Study, number: int) -> list[str]:
    """`number` new one-time codes. Only their hashes are kept."""
    codes = [readable_code(CODE_LENGTH) for _number in range(number)]
    Invitation.objects.bulk_create(
        [Invitation(study=study, token_sha256=token_hash(code)) for code in codes],
        batch_size=1000,
    )
    return [grouped(code) for code in codes]


# Where a participant is -----------------------------------------------------------


def participant_of(
    slug: str, token: str | None, *, rating: bool = False
) -> Participant | None:
    """Who holds `token` at this address, unless they have withdrawn.

    Nobody of the pilot once it is over: they begin anew, and then it counts. With
    `rating` only what pages with pictures need is read, as they are most of what a
    study asks for.
    """
    if not token:
        return None
    held_by = Q(token_sha256=token_hash(token))
    found = _taking_part(slug, held_by).prefetch_related("study__further_questions")
    return (found.only(*WHILE_RATING) if rating else found).first()


def moved_on(slug: str, token: str | None) -> Participant | None:
    """Who held `token` at this address until another browser got a new one."""
    if not token:
        return None
    held_once = Q(former_tokens__token_sha256=token_hash(token))
    return _taking_part(slug, held_once).first()


def _taking_part(slug: str, who: Q) -> QuerySet[Participant]:
    return (
        Participant.objects.filter(who, study__slug=slug)
        .filter(Q(pilot=False) | Q(study__state=Study.State.PILOTING))
        .exclude(status=Participant.Status.WITHDRAWN)
        .select_related("study")
    )


WHILE_RATING = [
    "status", "language", "seed", "planned", "practice", "pilot", "simulated",
    "excluded", "form_done_at", "checks_done_at", "shown_at",
    *(
        f"study__{name}"
        for name in (
            "slug", "title", "welcome", "consent", "thanks", "language", "question",
            "experiment", "state", "method", "scale_points", "tie_allowed", "seed",
            "trials_each", "target_half_width", "reserve_minutes", "apart",
            "one_touch", "fit_to_viewport", "ask_comment", "contact", "source",
            *(f"check_{name}" for name in CHECKS),
        )
    ),
]  # fmt: skip
"""What is read of a participant and of their study while they rate."""


def picture_name(slug: str, token: str, code: str) -> str | None:
    """The file of a stimulus, if who holds `token` takes part where it is shown.

    One narrow look, for browsers ask for a picture with every answer.
    """
    status = Participant.Status
    return (
        Stimulus.objects.filter(
            code=code,
            study__slug=slug,
            study__participants__token_sha256=token_hash(token),
            study__participants__status__in=set(status) - {status.WITHDRAWN},
        )
        .values_list("picture", flat=True)
        .first()
    )


def place_of(participant: Participant) -> str:
    """The page a participant belongs on: before, checks, rate, after or thanks."""
    study = participant.study
    if participant.status == Participant.Status.FINISHED:
        return "thanks"
    if participant.form_done_at is None and form_items(study, "before"):
        return "before"
    if participant.checks_done_at is None and study.has_checks:
        return "checks"
    if participant.trials.filter(answered_at=None).exists():
        return "rate"
    return "after" if asks_after(study) else "thanks"


def form_items(study: Study, placement: str) -> list[FormItem]:
    return [item for item in study.form_items.all() if item.placement == placement]


def asks_after(study: Study) -> bool:
    return study.ask_comment or bool(form_items(study, "after"))


@transaction.atomic
def keep_form(
    participant: Participant, placement: str, answers: dict[str, str]
) -> None:
    """Store a form's answers, once: what was sent first counts. Raises NotYourTrial
    once somebody has withdrawn."""
    held = _hold_present(participant)
    if placement == "before":
        if held.form_done_at is not None:
            return
        held.form_done_at = timezone.now()
    elif place_of(held) != "after":
        return
    FormAnswer.objects.bulk_create(
        [
            FormAnswer(participant=held, name=name, answer=answer)
            for name, answer in answers.items()
            if answer
        ],
        ignore_conflicts=True,
    )
    held.seen_at = timezone.now()
    if placement == "after":
        held.status = Participant.Status.FINISHED
        held.finished_at = held.seen_at
    held.save(update_fields=["form_done_at", "seen_at", "status", "finished_at"])


@transaction.atomic
def keep_checks(participant: Participant, results: dict[str, str]) -> None:
    """Store which checks were passed, once; nothing else of them is kept. Raises
    NotYourTrial once somebody has withdrawn."""
    held = _hold_present(participant)
    if held.checks_done_at is None:
        held.checks = results
        held.checks_done_at = held.seen_at = timezone.now()
        held.save(update_fields=["checks", "checks_done_at", "seen_at"])


@transaction.atomic
def end_break(participant: Participant, trial_pk: int) -> None:
    """Go on after a break; the next picture's clock has not run meanwhile."""
    held = _hold_present(participant)
    held.trials.filter(pk=trial_pk, break_ended_at=None).update(
        break_ended_at=timezone.now()
    )
    Participant.objects.filter(pk=held.pk).update(seen_at=timezone.now())


def note_missing(participant: Participant, trial_pk: int, failures: int) -> None:
    """A picture of an open trial has failed to load so often, all told."""
    trials = participant.trials.filter(pk=trial_pk, answered_at=None)
    if trials.filter(load_failures__lt=failures).update(load_failures=failures):
        log.warning(
            "Study %s: a picture of trial %d did not load (failures so far: %d).",
            participant.study.slug, trial_pk, failures,
        )  # fmt: skip


# Answering ----------------------------------------------------------------------


def answer(
    participant: Participant,
    *,
    trial_pk: int,
    answers: Mapping[str, str],
    client_id: str = "",
    response_ms: int | None = None,
    displayed_scale: float | None = None,
    load_failures: int = 0,
) -> list[Trial]:
    """Commit the answers to one trial, once: question name → what the form sent.

    Returns the trials that come next, two at most. The first answer to a trial wins.
    The same answer again, or the same `client_id`, from a double click, a reload or a
    retry, changes nothing. Raises AlreadyAnswered for a different one, NotYourTrial,
    NotThereYet, NotOnTheScale or StudyNotOpen.
    """
    with transaction.atomic():
        now = timezone.now()
        unchanged = _hold_unchanged(participant, now)
        held = participant if unchanged else _hold_present(participant)
        study = held.study
        coming = held.unanswered(3)
        trial = current = coming[0] if coming else None
        if current is None or current.pk != trial_pk:
            trial = held.trials.filter(pk=trial_pk).first()
        if trial is None:
            raise NotYourTrial(_("This picture is not part of your session."))
        method = method_of(study)
        offered = {choice.value for choice in method.choices(study)}
        names = ["overall", *(asked.name for asked in study.further_questions.all())]
        given = {name: answers.get(name, "") for name in names}
        if not all(answer in offered for answer in given.values()):
            raise NotOnTheScale(_("Please choose one of the answers offered."))
        if trial.answered_at is not None:
            _replay(study, trial, given, client_id)
            return coming[:2]
        if not study.accepts_answers:
            raise StudyNotOpen(REFUSED_JOINING["closed"]())
        if trial is not current:
            raise NotThereYet(_("This picture comes later in your session."))
        rows = [method.rating(study, trial, name, given[name]) for name in names]
        for row in rows:
            row.client_id, row.response_ms, row.rated_at = client_id, response_ms, now
        Rating.objects.bulk_create(rows)
        Trial.objects.filter(pk=trial.pk).update(
            answered_at=now,
            displayed_scale=displayed_scale,
            load_failures=load_failures,
        )
        counts = held.counts and not held.excluded
        if trial.item_id and trial.kind == Trial.Kind.RATING and counts:
            planning.count_vote(trial.item_id, method.score(rows[0]), study)
        planning.decide(held, study)
        coming = held.unanswered(2) if study.dynamic else coming[1:]
        finished = not coming and not asks_after(study)
        status = Participant.Status
        participant.status = status.FINISHED if finished else status.STARTED
        participant.planned = held.planned
        if finished or not unchanged:
            Participant.objects.filter(pk=held.pk).update(
                seen_at=now,
                status=participant.status,
                finished_at=now if finished else None,
            )
        return coming


CHANGING = [
    "study", "status", "planned", "seed", "pilot", "simulated", "excluded",
    "form_done_at", "checks_done_at", "finished_at",
]  # fmt: skip
"""What is read again of a participant who is held."""


def _hold_unchanged(participant: Participant, now: dt.datetime) -> bool:
    """Hold a participant's row by noting a sign of life in it, if that is enough.

    It is with nearly every answer: who has started and still has needs not be read
    again. A study that closed since this request began lets it through.
    """
    started = Participant.Status.STARTED
    if participant.status != started or participant.study.dynamic:
        return False
    same = Participant.objects.filter(
        pk=participant.pk, status=started, excluded=participant.excluded
    )
    return bool(same.update(seen_at=now))


def _hold(participant: Participant) -> Participant:
    """Let one request at a time change this participant's rows.

    A second post waits here and then sees what the first one wrote. On SQLite the
    IMMEDIATE transaction holds the whole database already.
    """
    held = (
        Participant.objects.select_for_update(of=("self",))
        .annotate(study_state=F("study__state"))
        .only(*CHANGING)
        .get(pk=participant.pk)
    )
    # All but the state is frozen while people take part, and need not be read again.
    held.study = participant.study
    held.study.state = held.study_state
    return held


def _hold_present(participant: Participant) -> Participant:
    """`_hold`, for what somebody sends who has not withdrawn meanwhile. Raises
    NotYourTrial."""
    held = _hold(participant)
    if held.status == Participant.Status.WITHDRAWN:
        raise NotYourTrial(_("You have withdrawn from this study."))
    return held


def was_stored(
    participant: Participant,
    *,
    trial_pk: int,
    answers: Mapping[str, str],
    client_id: str = "",
) -> bool:
    """Whether these answers to a trial have been stored before. Raises AlreadyAnswered
    if others have."""
    answered = participant.trials.filter(pk=trial_pk, answered_at__isnull=False)
    if (trial := answered.first()) is None:
        return False
    _replay(participant.study, trial, answers, client_id)
    return True


def _replay(
    study: Study, trial: Trial, given: Mapping[str, str], client_id: str
) -> None:
    method = method_of(study)
    stored = list(trial.ratings.all())
    if client_id and any(rating.client_id == client_id for rating in stored):
        return
    for rating in stored:
        first = method.answer(trial, rating)
        if given.get(rating.question) != first:
            raise AlreadyAnswered(
                _(
                    "You have already answered this picture with %(answer)s. The "
                    "first answer counts."
                )
                % {"answer": _spoken(study, first)}
            )


def _spoken(study: Study, value: str) -> str:
    choices = {choice.value: choice for choice in method_of(study).choices(study)}
    return choices[value].spoken


# Leaving ------------------------------------------------------------------------


def resume(slug: str, code: str) -> Participant:
    """Who goes on with this code on another device. Raises UnknownCode."""
    participant = participant_of(slug, code)
    if participant is None:
        raise UnknownCode(_("No session has this code. Please check it."))
    return participant


def whose(slug: str, code: str) -> Participant:
    """Who was given this code, to withdraw: also a code that only withdraws by now,
    after the pilot, or after a platform's link gave out another. Raises UnknownCode."""
    digest = token_hash(code)
    found = (
        Participant.objects.filter(study__slug=slug)
        .filter(Q(token_sha256=digest) | Q(former_sha256=digest))
        .exclude(status=Participant.Status.WITHDRAWN)
        .select_related("study")
        .first()
    )
    if found is None:
        raise UnknownCode(_("No session has this code. Please check it."))
    return found


@transaction.atomic
def withdraw(participant: Participant) -> None:
    """Delete a participant's answers and plan; what stays is that one withdrew."""
    held = _hold(participant)
    if held.status == Participant.Status.WITHDRAWN:
        return
    _erase(held)
    held.status = Participant.Status.WITHDRAWN
    held.save()
    if held.counts:
        Study.objects.filter(pk=held.study_id).update(
            withdrawn_count=F("withdrawn_count") + 1
        )
    transaction.on_commit(
        lambda: answers_withdrawn.send(sender=Study, study=held.study)
    )


def _erase(participant: Participant) -> None:
    """Delete everything a participant said, and take back what it counted."""
    items = planning.answered_items(participant)
    participant.trials.all().delete()
    participant.form_answers.all().delete()
    participant.former_tokens.all().delete()
    Invitation.objects.filter(participant=participant).update(participant=None)
    participant.key_sha256, participant.key_expires_at = "", None
    Recruit.objects.filter(participant=participant).delete()
    participant.device_class = Participant.Device.UNKNOWN
    participant.viewport, participant.pixel_ratio = "", None
    participant.checks, participant.exclusion_reason = {}, ""
    if participant.counts:
        planning.recount(participant.study, items)


def settle_dropped(now: dt.datetime | None = None) -> int:
    """Mark who has been silent for two hours as dropped; returns how many."""
    silent_since = (now or timezone.now()) - DROPPED_AFTER
    silent = Participant.objects.filter(
        status=Participant.Status.STARTED, seen_at__lt=silent_since
    )
    with transaction.atomic():
        _hold_in_order(silent)
        return silent.update(status=Participant.Status.DROPPED)


def purge(today: dt.date, *, study: Study | None = None) -> tuple[int, int]:
    """Delete what was promised to be deleted by today.

    Platform ids past their date, and all sessions of studies past theirs. Returns
    (ids, sessions) deleted; a count of sessions stays with the study.
    """
    chosen = Q(participant__study=study) if study else Q()
    ids, _rows = Recruit.objects.filter(chosen, delete_on__lte=today).delete()
    over = Study.objects.filter(delete_on__lte=today)
    sessions = 0
    for each in over.filter(pk=study.pk) if study else over:
        gone = 0
        while deleted := _purge_some(each):
            gone += deleted
        if gone:
            answers_withdrawn.send(sender=Study, study=each)
        sessions += gone
    return ids, sessions


MOST_PURGED_AT_ONCE = 50
"""People in one transaction, for others write ratings meanwhile."""


@transaction.atomic
def _purge_some(study: Study) -> int:
    """Delete a few of a study's people and count them; no sum of answers stays."""
    # People before items before the study, as whoever answers holds them.
    people = study.participants.select_for_update(of=("self",)).order_by("pk")
    held = list(people.values_list("pk", flat=True)[:MOST_PURGED_AT_ONCE])
    if held:
        Participant.objects.filter(pk__in=held).delete()
        study.items.update(**dict.fromkeys(planning.SUMS, 0))
        Study.objects.filter(pk=study.pk).update(
            purged_count=F("purged_count") + len(held)
        )
    return len(held)


def purge_due() -> None:
    """What a lab does by itself: settle who dropped out, delete what is due today."""
    from survey.studies import uploads

    settle_dropped()
    forget_keys()
    purge(timezone.now().date())
    uploads.purge()
