"""Begin a study from one that is there: a new version of it, or a duplicate."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from nstlab.core.access import VIEW, may
from survey.models import Stimulus, Study
from survey.models.stimuli import stimulus_code
from survey.presets import DEMO_WORDS
from survey.refusals import CannotOpen
from survey.studies.locks import UNFROZEN, check_all_uploaded, hold

COPY = " (copy)"

_OWN = ("id", "version", "state", "created_at", "opened_at", "closed_at",
        "archived_at", "withdrawn_count", "purged_count")  # fmt: skip
# What holds for one study only: its address, its dates, its approval, the codes that a
# platform gave it.
_FOR_ONE = ("slug", "owner", "opens_at", "closes_at", "delete_on", "ethics_reference",
            "completion_code", "completion_url", "screenout_code",
            "screenout_url")  # fmt: skip


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
    copy = Study.objects.create(**_fields(study, without=_OWN), version=last + 1)
    copy.shared_with.set(study.shared_with.all())
    _copy_parts(study, copy)
    return copy


@transaction.atomic
def duplicate(study: Study, owner: Any) -> Study:
    """A draft of `owner`'s with an address of its own, like this study in what it
    asks, says and shows; nobody has rated anything in it.

    Dates, the ethics reference and a platform's codes are of one study, and stay with
    that; so does an experiment that `owner` may not see. Raises CannotOpen while
    pictures of an archive are being imported.
    """
    study = hold(study)
    check_all_uploaded(study)
    fields = _fields(study, without=(*_OWN, *_FOR_ONE))
    if study.experiment is not None and not may(owner, VIEW, study.experiment):
        # Its pictures are there; no more of them come from what is not theirs.
        fields |= {"experiment": None, "all_renders": False, "chosen": []}
    for name, words in DEMO_WORDS.items():
        if fields.get(name) == words:
            fields[name] = ""
    longest = Study._meta.get_field("title").max_length or 0
    fields["title"] = f"{study.title[: longest - len(COPY)]}{COPY}"
    copy = Study.objects.create(**fields, owner=owner)
    _copy_parts(study, copy, new_codes=True)
    return copy


def _copy_parts(study: Study, copy: Study, *, new_codes: bool = False) -> None:
    """Its questions, translations, forms and pictures, whose files both show."""
    for related in ("further_questions", "translations", "form_items"):
        manager: Any = getattr(study, related)
        for row in manager.all():
            manager.model.objects.create(**_fields(row, ("id", "study")), study=copy)
    copies: dict[int, Stimulus] = {}
    for row in study.stimuli.order_by("-is_reference", "pk"):
        twin = Stimulus(**_fields(row, ("id", "study", "reference")), study=copy)
        if new_codes:
            twin.code = stimulus_code()
        twin.reference = copies.get(row.reference_id) if row.reference_id else None
        twin.save()
        copies[row.pk] = twin


def _fields(row: models.Model, without: tuple[str, ...]) -> dict[str, Any]:
    return {
        field.name: getattr(row, field.name)
        for field in row._meta.concrete_fields
        if field.name not in without and not field.generated
    }
