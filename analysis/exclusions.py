"""Leaving a participant out of the statistics: a mark with a reason, taken back as
easily, both in the admin's log. Nothing is deleted, and no program sets it by itself.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast

from nstlab.core.history import record
from nstlab.core.transitions import move
from survey import planning
from survey.models import Participant, Study

EXCLUDED, LIFTED = "Excluded", "Exclusion lifted"


class CannotExclude(Exception):
    """The mark cannot be set or lifted; the text says why."""


@transaction.atomic
def exclude(participant: Participant, *, reason: str, by: Any) -> None:
    """Leave this person out from now on, because of `reason`.

    Raises CannotExclude without a reason, for somebody who withdrew or who is excluded.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise CannotExclude("Say why: the reason stands in every export.")
    longest = Participant._meta.get_field("exclusion_reason").max_length or 0
    if len(reason) > longest:
        raise CannotExclude(f"The reason may have {longest} characters, not more.")
    if participant.status == Participant.Status.WITHDRAWN:
        raise CannotExclude(f"{participant} has withdrawn; there are no answers left.")
    moved = move(participant, Q(excluded=False), excluded=True, exclusion_reason=reason)
    if not moved:
        raise CannotExclude(f"{participant} is excluded already.")
    _recount(participant)
    record(by, participant, f"{EXCLUDED}: {reason}")


@transaction.atomic
def lift(participant: Participant, *, by: Any) -> None:
    """Count this person again. Raises CannotExclude if they were not excluded."""
    reason = participant.exclusion_reason
    moved = move(participant, Q(excluded=True), excluded=False, exclusion_reason="")
    if not moved:
        raise CannotExclude(f"{participant} is not excluded.")
    _recount(participant)
    record(by, participant, f"{LIFTED}. The reason had been: {reason}")


def _recount(participant: Participant) -> None:
    """Let who sees what next, and what is precise enough, rest on what counts now."""
    if participant.counts:
        planning.recount(participant.study, planning.answered_items(participant))


def forget_reasons(_study: Study) -> None:
    """Take what was said about people who withdrew, or were deleted, out of the log.

    That somebody excluded them, and when, stays.
    """
    there = Participant.objects.exclude(status=Participant.Status.WITHDRAWN)
    keys = there.order_by().annotate(key=Cast("pk", CharField())).values("key")
    about = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Participant),
        action_flag=CHANGE,
    ).exclude(object_id__in=keys)
    for fact in (EXCLUDED, LIFTED):
        said = about.filter(change_message__startswith=fact)
        said.update(change_message=f"{fact}.")


def history(participants: QuerySet[Participant]) -> QuerySet[LogEntry]:
    """The log of excluding or counting these people again, newest first."""
    keys = participants.order_by().annotate(key=Cast("pk", CharField()))
    return (
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(Participant),
            object_id__in=keys.values("key"),
            action_flag=CHANGE,
        )
        .select_related("user")
        .order_by("-action_time", "-pk")
    )
