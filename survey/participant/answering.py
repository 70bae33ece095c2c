"""Store what people answer, once: forms, checks and pictures."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from survey import planning
from survey.methods import method_of
from survey.models import FormAnswer, Participant, Rating, Study, Trial
from survey.participant.presence import asks_after, hold_present, place_of
from survey.refusals import (
    AlreadyAnswered,
    NotJoining,
    NotOnTheScale,
    NotThereYet,
    NotYourTrial,
    StudyNotOpen,
)

log = logging.getLogger(__name__)


@transaction.atomic
def keep_form(
    participant: Participant, placement: str, answers: dict[str, str]
) -> None:
    """Store a form's answers, once: what was sent first counts. Raises NotYourTrial
    once somebody has withdrawn."""
    held = hold_present(participant)
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
    held = hold_present(participant)
    if held.checks_done_at is None:
        held.checks = results
        held.checks_done_at = held.seen_at = timezone.now()
        held.save(update_fields=["checks", "checks_done_at", "seen_at"])


@transaction.atomic
def end_break(participant: Participant, trial_pk: int) -> None:
    """Go on after a break; the next picture's clock has not run meanwhile."""
    held = hold_present(participant)
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
        held = participant if unchanged else hold_present(participant)
        study = held.study
        coming = held.trials.upcoming(3)
        trial = current = coming[0] if coming else None
        if current is None or current.pk != trial_pk:
            trial = held.trials.filter(pk=trial_pk).first()
        if trial is None:
            raise NotYourTrial
        method = method_of(study)
        names = ["overall", *(asked.name for asked in study.further_questions.all())]
        given = {name: answers.get(name, "") for name in names}
        if not all(method.accepts(study, answer) for answer in given.values()):
            raise NotOnTheScale
        if trial.answered_at is not None:
            _replay(study, trial, given, client_id)
            return coming[:2]
        if not study.accepts_answers:
            raise StudyNotOpen(NotJoining.CLOSED)
        if trial is not current:
            raise NotThereYet
        scale = method.scale(study)
        rows = [
            Rating(
                trial=trial,
                question=name,
                scale_min=scale.lowest,
                scale_max=scale.highest,
                client_id=client_id,
                response_ms=response_ms,
                rated_at=now,
                **method.stored(trial, given[name]),
            )
            for name in names
        ]
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
        coming = held.trials.upcoming(2) if study.dynamic else coming[1:]
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


def was_stored(
    participant: Participant,
    *,
    trial_pk: int,
    answers: Mapping[str, str],
    client_id: str = "",
) -> bool:
    """Look whether these answers to a trial have been stored before. Raises
    AlreadyAnswered if others have."""
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
                % {"answer": method.spoken(study, first)}
            )
