"""The researcher's side of a study: its pictures, opening it, a new version of it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import models, transaction
from PIL import Image

from generation.engine.images import pixel_sha256, png_bytes
from generation.models import Render, SourceImage
from generation.services import picture_bytes
from survey import planning
from survey.design import DesignError
from survey.methods import CannotAsk, method_of
from survey.models import Item, Stimulus, Study
from survey.refusals import CannotOpen

UNFROZEN = {Study.State.DRAFT, Study.State.PILOTING}


@transaction.atomic
def freeze_stimuli(study: Study) -> int:
    """Give the study its own copy of every finished render it does not show yet.

    Methods with a reference get the content images too, at the pictures' size and
    through the filter the renders used. Only in draft and pilot: what an open study
    shows never changes. Returns the number of new stimuli.
    """
    if study.state not in UNFROZEN:
        raise CannotOpen(f"“{study}” is {study.state}; its pictures are frozen.")
    if study.experiment is None:
        return 0
    shown = set(study.stimuli.values_list("render_id", flat=True))
    renders = study.experiment.renders.ready().exclude(pk__in=shown)
    references = _References(study)
    added = 0
    for render in renders.select_related("content", "style"):
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
        if method_of(study).needs_references:
            resample = render.render_settings().resample
            stimulus.reference = references.of(render.content, pixels.size, resample)
        keep_picture(stimulus, pixels)
        added += 1
    return added


def keep_picture(stimulus: Stimulus, pixels: Image.Image) -> None:
    """Save a stimulus with its own file: pixels only, under a random name."""
    stimulus.width, stimulus.height = pixels.size
    stimulus.pixel_sha256 = pixel_sha256(pixels)
    stimulus.picture.save("", ContentFile(png_bytes(pixels)), save=False)
    stimulus.save()


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
        raise CannotOpen(
            f"“{study}” has no pictures: no render of “{study.experiment}” is done."
            if study.experiment
            else f"“{study}” has no pictures: upload some."
        )
    try:
        study.full_clean()
        items = method_of(study).items(study, stimuli)
        if not items:
            raise CannotAsk("No picture is marked to be rated.")
        Item.objects.filter(study=study).delete()
        Item.objects.bulk_create(items, batch_size=1000)
        planning.check(study)
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
    prepare(study)
    study.pilot()


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
