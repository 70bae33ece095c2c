"""Take people out: withdrawing, dropping out, deleting what is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from survey import planning
from survey.models import DROPPED_AFTER, Invitation, Participant, Recruit, Study
from survey.participant.presence import hold

ON_DELETED_ANSWERS: list[Callable[[Study], None]] = []
"""Called with a study after answers of it were deleted: what was computed from them is
out of date. `analysis` puts its own here, for survey knows nothing of it."""


def _tell_of_deleted_answers(study: Study) -> None:
    for forget in ON_DELETED_ANSWERS:
        forget(study)


@transaction.atomic
def withdraw(participant: Participant) -> None:
    """Delete a participant's answers and plan; what stays is that one withdrew."""
    held = hold(participant)
    if held.status == Participant.Status.WITHDRAWN:
        return
    _erase(held)
    held.status = Participant.Status.WITHDRAWN
    held.save()
    if held.counts:
        Study.objects.filter(pk=held.study_id).update(
            withdrawn_count=F("withdrawn_count") + 1
        )
    transaction.on_commit(partial(_tell_of_deleted_answers, held.study))


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


def mark_dropped(now: dt.datetime | None = None) -> int:
    """Mark who has been silent for two hours as dropped; returns how many."""
    silent_since = (now or timezone.now()) - DROPPED_AFTER
    silent = Participant.objects.filter(
        status=Participant.Status.STARTED, seen_at__lt=silent_since
    )
    with transaction.atomic():
        silent.hold_in_order()
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
            _tell_of_deleted_answers(each)
        sessions += gone
    return ids, sessions


MOST_PURGED_AT_ONCE = 50
"""People in one transaction, for others write ratings meanwhile."""


@transaction.atomic
def _purge_some(study: Study) -> int:
    """Delete a few of a study's people; how many. With the study stays how many of
    them counted, and no sum of answers.
    """
    # People before items before the study, as whoever answers holds them.
    people = study.participants.select_for_update(of=("self",)).order_by("pk")
    held = list(people.values_list("pk", flat=True)[:MOST_PURGED_AT_ONCE])
    if held:
        gone = Participant.objects.filter(pk__in=held)
        # Who had withdrawn is counted already; others than these never counted.
        withdrawn = Participant.Status.WITHDRAWN
        counting = gone.counted().exclude(status=withdrawn).count()
        gone.delete()
        study.items.update(**dict.fromkeys(planning.SUMS, 0))
        Study.objects.filter(pk=study.pk).update(
            purged_count=F("purged_count") + counting
        )
    return len(held)
