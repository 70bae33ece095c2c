"""The researcher's side of a study: its pictures, opening it, a new version of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models, transaction
from django.db.models import Q, QuerySet
from PIL import Image

from generation.engine.images import pixel_sha256, png_bytes
from generation.models import Render, SourceImage
from generation.services import picture_bytes
from survey import planning
from survey.design import DesignError
from survey.methods import CannotAsk, method_of
from survey.models import Item, Stimulus, Study, Trial
from survey.refusals import CannotOpen

UNFROZEN = {Study.State.DRAFT, Study.State.PILOTING}

MOST_CHOSEN = 1000
"""Pictures that are copied while a page waits; a thousand small ones take seconds."""


@transaction.atomic
def freeze_stimuli(study: Study) -> int:
    """Give the study its own copy of every finished render it does not show yet.

    A study of chosen pictures gets none but those. Methods with a reference get the
    content images too, at the pictures' size and through the filter the renders used.
    Only in draft and pilot: what an open study shows never changes. Returns the number
    of new stimuli.
    """
    _check_unfrozen(study)
    added = 0
    if study.experiment is not None and study.all_renders:
        new = _copies(study, study.experiment.renders.ready())
        added = len(Stimulus.objects.bulk_create(new, batch_size=500))
    if method_of(study).needs_references:
        _add_references(study)
    return added


def choose_renders(study: Study, chosen: Collection[int]) -> int:
    """Make these finished renders of the experiment the study's pictures, no others.

    What is shown already keeps its code and its marks. Returns the number of pictures.
    Raises CannotOpen for a study that is open, and for pictures that a pilot showed.
    The copies are made before the database is held, for others write ratings meanwhile.
    """
    _check_unfrozen(study)
    if study.experiment is None:
        raise CannotOpen(f"“{study}” shows pictures of your own, no renders.")
    if len(chosen) > MOST_CHOSEN:
        raise CannotOpen(
            f"{len(chosen)} pictures are more than {MOST_CHOSEN}, which is more than "
            "people can rate: choose fewer."
        )
    painted = study.stimuli.filter(render__isnull=False)
    gone = painted.exclude(render__in=chosen)
    tried = Trial.objects.filter(Q(stimulus__in=gone) | Q(second__in=gone))
    if tried.exists():
        raise CannotOpen(
            f"The pilot of “{study}” has shown pictures that you took out: throw the "
            "pilot away first."
        )
    new = _copies(study, study.experiment.renders.ready().filter(pk__in=chosen))
    with transaction.atomic():
        names = list(gone.values_list("picture", flat=True))
        gone.delete()
        lonely = study.stimuli.filter(is_reference=True, renderings=None)
        lonely = lonely.filter(trials=None)
        names += lonely.values_list("picture", flat=True)
        lonely.delete()
        Stimulus.objects.bulk_create(new, batch_size=500)
        study.all_renders = False
        study.save(update_fields=["all_renders"])
        transaction.on_commit(partial(_delete_unused, names))
    return painted.count()


def _delete_unused(names: Iterable[str]) -> None:
    """Files of stimuli that are gone; versions of a study share theirs."""
    used = set(Stimulus.objects.filter(picture__in=names).values_list("picture"))
    for name in {name for name in names if name and (name,) not in used}:
        default_storage.delete(name)


def _check_unfrozen(study: Study) -> None:
    if study.state not in UNFROZEN:
        raise CannotOpen(f"“{study}” is {study.state}; its pictures are frozen.")


def _copies(study: Study, renders: QuerySet[Render]) -> list[Stimulus]:
    """Unsaved stimuli, with their files, of the renders that it does not show yet."""
    shown = set(study.stimuli.values_list("render_id", flat=True))
    copies = []
    for render in renders.exclude(pk__in=shown).select_related("content", "style"):
        with Image.open(picture_bytes(render.picture)) as picture:
            pixels = picture.convert("RGB")
        stimulus = Stimulus(
            study=study,
            render=render,
            parameters={
                "content": render.content.title,
                "style": render.style.title,
                **render.render_settings().columns(),
                **_losses(render),
            },
        )
        _write_picture(stimulus, pixels)
        copies.append(stimulus)
    return copies


def keep_picture(stimulus: Stimulus, pixels: Image.Image) -> None:
    """Save a stimulus with its own file: pixels only, under a random name."""
    _write_picture(stimulus, pixels)
    stimulus.save()


def _write_picture(stimulus: Stimulus, pixels: Image.Image) -> None:
    stimulus.width, stimulus.height = pixels.size
    stimulus.pixel_sha256 = pixel_sha256(pixels)
    stimulus.picture.save("", ContentFile(png_bytes(pixels)), save=False)


def _add_references(study: Study) -> None:
    """The content image for every picture of a render that has none beside it yet."""
    references = _References(study)
    lacking = study.stimuli.filter(reference=None, render__isnull=False)
    for stimulus in lacking.select_related("render__content"):
        if (render := stimulus.render) is not None:
            size = stimulus.width, stimulus.height
            resample = render.render_settings().resample
            stimulus.reference = references.of(render.content, size, resample)
            stimulus.save(update_fields=["reference"])


class _References:
    """The content images of a study as stimuli, each size of each made once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known = {
            reference.pixel_sha256: reference
            for reference in study.stimuli.filter(is_reference=True)
        }

    def of(self, content: SourceImage, size: tuple[int, int], how: str) -> Stimulus:
        with Image.open(picture_bytes(content.picture)) as picture:
            pixels = picture.convert("RGB")
        if pixels.size != size:
            pixels = pixels.resize(size, Image.Resampling[how.upper()])
        digest = pixel_sha256(pixels)
        if digest not in self._known:
            reference = Stimulus(
                study=self._study,
                is_reference=True,
                parameters={"content": content.title},
            )
            keep_picture(reference, pixels)
            self._known[digest] = reference
        return self._known[digest]


def _losses(render: Render) -> dict[str, float]:
    """The losses of the picture that was kept: the evaluation of least total."""
    kept = min(render.curve, key=lambda point: point["total"], default=None)
    if kept is None:
        return {}
    return {f"{term}_loss": kept[term] for term in ("content", "style", "tv")}


@transaction.atomic
def prepare(study: Study) -> None:
    """Take in the pictures and write down what will be asked about them.

    Raises CannotOpen with everything that stands against it.
    """
    freeze_stimuli(study)
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
        items = method_of(study).items(study, stimuli)
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
    """What a study needs to say before people may be asked."""
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
    if missing := lacking(study):
        raise CannotOpen(f"“{study}” cannot open without {', '.join(missing)}.")
    if study.state in UNFROZEN:
        prepare(study)
    if not study.open():
        raise CannotOpen(f"“{study}” is already open.")


def pilot_study(study: Study) -> None:
    """Let people try the study; nothing they answer counts. Raises CannotOpen."""
    if study.state != Study.State.DRAFT:
        raise CannotOpen(f"“{study}” is {study.state}; only a draft can be piloted.")
    others = Study.objects.filter(slug=study.slug).exclude(pk=study.pk)
    if taking := others.filter(state=Study.State.OPEN).first():
        raise CannotOpen(
            f"Version {taking.version} is open at the same address: people who come "
            "now would land in the pilot. Close it first."
        )
    prepare(study)
    study.pilot()


@transaction.atomic
def throw_pilot_away(study: Study) -> int:
    """Delete everybody who took part in the pilot, and make the study a draft again.

    Returns how many people were deleted. Raises CannotOpen for a study that is open or
    was.
    """
    _check_unfrozen(study)
    unfreeze(study)
    people = study.participants.filter(pilot=True)
    number = people.count()
    people.delete()
    return number


def unfreeze(study: Study) -> None:
    """Back to a draft, as long as nobody has joined who counts. Raises CannotOpen."""
    with transaction.atomic():
        held = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
        if held.participants.filter(pilot=False, simulated=False).exists():
            raise CannotOpen(
                f"People have taken part in “{study}”: make a new version instead."
            )
        held.state = Study.State.DRAFT
        held.opened_at = None
        held.save(update_fields=["state", "opened_at"])
    study.refresh_from_db()


_OWN = ("id", "version", "state", "created_at", "opened_at", "closed_at",
        "withdrawn_count", "purged_count")  # fmt: skip


@transaction.atomic
def new_version(study: Study) -> Study:
    """A draft at the same address that starts where this version stands.

    People who have begun finish the version they agreed to; once the new one opens,
    whoever comes takes part in that.
    """
    versions = Study.objects.select_for_update().filter(slug=study.slug)
    last = max(versions.values_list("version", flat=True))
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
        if field.name not in without
    }
