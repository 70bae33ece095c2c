"""Keeping a plan as a draft, and freezing it with the proof of when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from analysis.models import Preregistration, Report
from analysis.preregistration.plan import factors_of, sha256_of
from nstlab.core.transitions import move
from survey.methods import method_of
from survey.models import Rating, Study
from survey.refusals import CannotOpen
from survey.studies.locks import check_all_uploaded, hold, hold_people


class CannotFreeze(Exception):
    """The plan cannot be written or frozen; the text says why."""


def of(study: Study) -> Preregistration | None:
    """The study's pre-registration, frozen or not."""
    return Preregistration.objects.filter(study=study).first()


def frozen(study: Study) -> Preregistration | None:
    """The study's pre-registration if it is frozen."""
    return Preregistration.objects.filter(study=study, frozen_at__isnull=False).first()


@transaction.atomic
def write(study: Study, plan: Mapping[str, Any]) -> Preregistration:
    """Keep a plan as a draft. Raises CannotFreeze once there is a frozen one."""
    row, _ = Preregistration.objects.get_or_create(study=study)
    _move(row, plan=dict(plan))
    return row


@transaction.atomic
def freeze(study: Study, *, by: Any) -> Preregistration:
    """Fix the plan for good, with who, when, and what was known by then.

    Raises CannotFreeze for an empty plan, for a contrast that the pictures do not
    have, while pictures of an archive are being imported, and once it is frozen.
    """
    # Nobody answers and nobody changes the design between what is quoted and counted
    # here and the time that is written.
    hold_people(study)
    study = hold(study)
    try:
        check_all_uploaded(study)
    except CannotOpen as refused:  # what is counted now is not what will be shown
        raise CannotFreeze(str(refused)) from refused
    row, _ = Preregistration.objects.get_or_create(study=study)
    _check(study, row.plan)
    plan = row.plan | {"study": _facts(study)}
    frozen_at = timezone.now()
    ratings = ratings_so_far(study)
    seen = Report.objects.filter(
        study=study, state=Report.State.DONE, method__n_ratings__gt=0
    )
    _move(
        row,
        plan=plan,
        sha256=sha256_of(plan),
        frozen_at=frozen_at,
        frozen_by_id=by.pk,
        ratings_before=ratings,
        report_before=bool(ratings) and seen.exists(),
    )
    return row


def ratings_so_far(study: Study) -> int:
    """How many ratings count by now; pilots and simulated people never do."""
    return Rating.objects.counted().filter(trial__participant__study=study).count()


def _move(row: Preregistration, **columns: Any) -> None:
    """Write columns of what is not frozen; nobody else writes them."""
    if not move(row, Q(frozen_at=None), **columns):
        raise CannotFreeze(
            "It is frozen, and nothing of it can be changed. A new version of the "
            "study gets one of its own."
        )
    row.refresh_from_db()


def _check(study: Study, plan: Mapping[str, Any]) -> None:
    pairs = plan.get("contrasts", {}).get("pairs", [])
    if not pairs and not plan.get("hypotheses", "").strip():
        raise CannotFreeze("Say what you expect, or tick a contrast.")
    factors = factors_of(study)
    for pair in pairs:
        if not {pair["a"], pair["b"]} <= set(factors.get(pair["factor"], ())):
            raise CannotFreeze(
                f"No pictures differ in {pair['factor']} by {pair['a']} and "
                f"{pair['b']}: save the plan anew."
            )


def _facts(study: Study) -> dict[str, Any]:
    """The design at the moment of freezing, as the plan quotes it."""
    further = study.further_questions.values_list("text", flat=True)
    usual = str(method_of(study).default_question)
    return {
        "title": study.title,
        "version": study.version,
        "method": study.method,
        "scale_points": study.scale_points,
        "questions": [study.question or usual, *further],
        "pictures": study.stimuli.filter(rated=True, is_reference=False).count(),
        "participants": study.max_participants,
    }
