"""Open, pilot and unfreeze studies, throw pilots away, delete studies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.storage import Storage
from django.db import models, transaction

from survey import planning
from survey.design import DesignError
from survey.methods import CannotAsk
from survey.models import Item, Rating, Stimulus, Study
from survey.refusals import CannotDelete, CannotOpen
from survey.studies.copying import copy_pictures, delete_unused, left_to_copy
from survey.studies.locks import (
    UNFROZEN,
    check_all_uploaded,
    check_unfrozen,
    hold,
    hold_address,
    hold_people,
    hold_unfrozen,
)
from survey.studies.placeholders import placeholders


@transaction.atomic
def delete_study(study: Study) -> None:
    """Delete a study that nobody has taken part in, with its pictures and their files.

    Raises ProtectedError while it has participants.
    """
    hold(study)  # so that nobody joins meanwhile
    names = list(study.stimuli.values_list("picture", flat=True))
    files = list(_own_files(study))
    study.delete()
    transaction.on_commit(partial(delete_unused, names))
    for storage, name in files:
        transaction.on_commit(partial(storage.delete, name))


def _own_files(study: Study) -> Iterator[tuple[Storage, str]]:
    """The files of rows that go with a study, whatever app they are of; not those of
    pictures, which other studies may show."""
    for relation in study._meta.related_objects:
        rows: Any = relation.related_model
        if rows is Stimulus or relation.on_delete is not models.CASCADE:
            continue
        for field in rows._meta.concrete_fields:
            if isinstance(field, models.FileField):
                its = rows._default_manager.filter(**{relation.field.name: study})
                for name in its.values_list(field.name, flat=True):
                    if name:
                        yield field.storage, name


def answers_of(study: Study) -> dict[str, int]:
    """How much would be lost with a study: people by what they are, and ratings."""
    people = study.participants
    simulated = people.filter(simulated=True).count()
    real = people.counted().count()
    return {
        "people": real,
        "trial people of a preview": people.count() - simulated - real,
        "simulated people": simulated,
        "ratings": Rating.objects.filter(trial__participant__study=study).count(),
    }


@transaction.atomic
def delete_with_answers(study: Study, typed: str) -> dict[str, int]:
    """Delete a study with everybody who took part in it and all they have answered.

    `typed` must be its title, as somebody typed it. Returns what was lost, as
    `answers_of` counts it. Raises CannotDelete with the reason.
    """
    hold_people(study)
    held = hold(study)
    if held.accepts_answers:
        raise CannotDelete(
            f"“{held}” is {held.state_in_words}, and people may be answering: close "
            "it first."
        )
    if " ".join(typed.split()) != " ".join(held.title.split()):
        raise CannotDelete(f"Type the title as it is, “{held.title}”, to delete it.")
    lost = answers_of(held)
    held.participants.all().delete()
    delete_study(held)
    return lost


def _plan(study: Study) -> None:
    """Write down what will be asked about the pictures, all of which are there.

    In the transaction that lets people in and holds the study, which was read in it.
    Raises CannotOpen with everything that stands against it.
    """
    check_unfrozen(study)
    check_all_uploaded(study)
    if left := left_to_copy(study):
        raise CannotOpen(
            f"“{study}” lacks {left} pictures that were chosen or painted just now: "
            "open it again."
        )
    stimuli = list(study.stimuli.select_related("reference").order_by("pk"))
    if not stimuli:
        why = "upload some"
        if study.experiment is not None:
            why = f"no render of “{study.experiment}” is done"
            if not study.all_renders:
                why = f"choose some of “{study.experiment}”"
        raise CannotOpen(f"“{study}” has no pictures: {why}.")
    try:
        study.full_clean()
        items = planning.items_of(study, stimuli)
        if not items:
            raise CannotAsk("No picture is marked to be rated.")
        Item.objects.filter(study=study).delete()
        Item.objects.bulk_create(items, batch_size=1000)
        planning.check(study, items)
    except ValidationError as error:
        raise CannotOpen(f"“{study}”: {' '.join(error.messages)}") from error
    except (CannotAsk, DesignError) as error:
        raise CannotOpen(f"“{study}”: {error}") from error


def lacking(study: Study) -> list[str]:
    """List what a study has yet to say before people may be asked."""
    return [
        label
        for label, value in (
            ("a responsible person or body", study.controller),
            ("a contact", study.contact),
            ("an ethics reference", study.ethics_reference),
        )
        if not value.strip()
    ]


def open_study(study: Study) -> None:
    """Freeze the pictures and let participants in. Raises CannotOpen."""
    _check_texts(study)
    if study.state in UNFROZEN:
        check_all_uploaded(study)
        copy_pictures(study)
    with transaction.atomic():
        hold_people(study)
        # What is planned and frozen is the study as it stands now.
        held = hold_address(study, Study.State.PILOTING)
        _check_texts(held)
        if held.state in UNFROZEN:
            _plan(held)
        if not held.open():
            raise CannotOpen(f"“{study}” is already open.")
    study.refresh_from_db()


def _check_texts(study: Study) -> None:
    if missing := lacking(study):
        raise CannotOpen(f"“{study}” cannot open without {', '.join(missing)}.")
    # Whoever took part in an earlier time of it has read its texts as they are.
    left = list(placeholders(study)) if study.state in UNFROZEN else []
    if left:
        said = ", ".join(f"{where} has “{words}”" for _field, where, words in left)
        raise CannotOpen(
            f"“{study}” cannot open with words that are still to be written: {said}."
        )


def pilot_study(study: Study) -> None:
    """Let people try the study; nothing they answer counts. Raises CannotOpen."""
    _check_draft(study)
    with transaction.atomic():
        hold_address(study, Study.State.OPEN)
    check_all_uploaded(study)
    copy_pictures(study)
    with transaction.atomic():
        hold_people(study)
        held = hold_address(study, Study.State.OPEN)
        _check_draft(held)
        _plan(held)
        held.pilot()
    study.refresh_from_db()


def _check_draft(study: Study) -> None:
    if study.state != Study.State.DRAFT:
        raise CannotOpen(
            f"“{study}” is {study.state_in_words}; only a draft can be piloted."
        )


@transaction.atomic
def throw_pilot_away(study: Study) -> int:
    """Delete everybody who took part in the pilot, and make the study a draft again.

    Returns how many people were deleted. Raises CannotOpen for a study that is open or
    was.
    """
    hold_people(study)
    hold_unfrozen(study)
    unfreeze(study)
    people = study.participants.filter(pilot=True)
    number = people.count()
    people.delete()
    return number


def unfreeze(study: Study) -> None:
    """Back to a draft, as long as nobody has joined who counts. Raises CannotOpen."""
    with transaction.atomic():
        held = hold(study)
        if held.participants.counted().exists():
            raise CannotOpen(
                f"People have taken part in “{study}”: make a new version instead."
            )
        held.state = Study.State.DRAFT
        held.opened_at = None
        held.save(update_fields=["state", "opened_at"])
    study.refresh_from_db()
