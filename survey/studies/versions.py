"""Begin a new version of a study."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from survey.models import Stimulus, Study
from survey.refusals import CannotOpen
from survey.studies.locks import UNFROZEN, check_all_uploaded

_OWN = ("id", "version", "state", "created_at", "opened_at", "closed_at",
        "withdrawn_count", "purged_count")  # fmt: skip


@transaction.atomic
def new_version(study: Study) -> Study:
    """A draft at the same address that starts where this version stands.

    People who have begun finish the version they agreed to; once the new one opens,
    whoever comes takes part in that.
    """
    versions = Study.objects.filter(slug=study.slug)
    held = versions.select_for_update(of=("self",)).order_by("pk")
    last = max(held.values_list("version", flat=True))
    study.refresh_from_db()
    check_all_uploaded(study)
    if versions.filter(state__in=UNFROZEN).exclude(pk=study.pk).exists():
        raise CannotOpen(f"“{study}” has a newer version that is not open yet.")
    copy = Study(
        **_fields(study, without=_OWN),
        version=last + 1,
    )
    copy.save()
    copy.shared_with.set(study.shared_with.all())
    for related in ("further_questions", "translations", "form_items"):
        manager: Any = getattr(study, related)
        for row in manager.all():
            manager.model.objects.create(**_fields(row, ("id", "study")), study=copy)
    copies: dict[int, Stimulus] = {}
    for row in study.stimuli.order_by("-is_reference", "pk"):
        twin = Stimulus(**_fields(row, ("id", "study", "reference")), study=copy)
        twin.reference = copies.get(row.reference_id) if row.reference_id else None
        twin.save()
        copies[row.pk] = twin
    return copy


def _fields(row: models.Model, without: tuple[str, ...]) -> dict[str, Any]:
    return {
        field.name: getattr(row, field.name)
        for field in row._meta.concrete_fields
        if field.name not in without and not field.generated
    }
