"""Give a study its own copies of pictures, and the content images they refer to."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet
from PIL import Image

from generation.engine.factors import column_values
from generation.engine.judged import kept_losses
from generation.engine.pictures.files import is_bare_png, pixel_sha256, png_bytes
from generation.engine.shapes import Box, Size, seen
from generation.models import Render, SourceImage
from generation.models.renders import SHARES
from generation.pictures.decoding import DecodedPicture, DecoderBusy, decode
from nstlab.core.storage import read_stored
from survey.methods import method_of
from survey.models import Stimulus, Study, Trial
from survey.refusals import CannotOpen
from survey.studies.locks import UNFROZEN, check_unfrozen, hold, hold_unfrozen

MOST_CHOSEN = 1000
MOST_AT_ONCE = 50
"""Pictures that are copied before their rows are written."""


def to_copy(study: Study) -> QuerySet[Render]:
    """The finished renders that the study is to show and has no copy of yet."""
    if study.experiment is None:
        return Render.objects.none()
    wanted = study.experiment.renders.ready()
    if not study.all_renders:
        wanted = wanted.filter(pk__in=study.chosen)
    shown = study.stimuli.filter(render__isnull=False)
    return wanted.exclude(pk__in=shown.values("render")).order_by("pk")


def left_to_copy(study: Study) -> int:
    """Count what `copy_pictures` still has to copy, content images among them."""
    return to_copy(study).count() + _lacking_references(study).count()


def copy_pictures(study: Study, seconds: float | None = None) -> int:
    """Give the study its own copy of every finished render it is to show.

    Methods with a reference get the content images too, at the pictures' size, cut as
    the renders saw them and through the filter they used. Only in draft and pilot: what
    an open study shows never changes.

    With `seconds` it stops after about so many, one picture at least, and the next call
    goes on there, beside others if need be. Returns how many pictures are left. Raises
    CannotOpen, also for a picture that cannot be read; those before it are kept.
    """
    end = None if seconds is None else time.monotonic() + seconds
    check_unfrozen(study)
    while copied := _copy_some(study, end):
        if is_over(end):
            break
    if not copied:
        _add_references(study, end)
    return left_to_copy(study)


def choose_renders(study: Study, chosen: Collection[int]) -> None:
    """Make these finished renders of the experiment the study's pictures, no others.

    `copy_pictures` then copies those that are new. What is shown already keeps its
    code and its marks. Raises CannotOpen for a study that is open, and for pictures
    that a pilot showed.
    """
    if study.experiment is None:
        raise CannotOpen(f"“{study}” shows pictures of your own, no renders.")
    if len(chosen) > MOST_CHOSEN:
        raise CannotOpen(
            f"{len(chosen)} pictures are more than {MOST_CHOSEN}, which is more than "
            "people can rate: choose fewer."
        )
    with transaction.atomic():
        held = hold_unfrozen(study)
        painted = study.stimuli.filter(render__isnull=False)
        gone = painted.exclude(render__in=chosen)
        tried = Trial.objects.filter(Q(stimulus__in=gone) | Q(second__in=gone))
        if tried.exists():
            raise CannotOpen(
                f"The pilot of “{study}” has shown pictures that you took out: throw "
                "the pilot away first."
            )
        names = list(gone.values_list("picture", flat=True))
        gone.delete()
        lonely = study.stimuli.filter(is_reference=True, renderings=None)
        lonely = lonely.filter(trials=None)
        names += lonely.values_list("picture", flat=True)
        lonely.delete()
        held.all_renders = False
        held.chosen = sorted(chosen)
        held.save(update_fields=["all_renders", "chosen"])
        transaction.on_commit(partial(delete_unused, names))
    study.refresh_from_db()


def delete_unused(names: Iterable[str | None]) -> None:
    """Delete files of stimuli that are gone; versions of a study share theirs."""
    used = set(Stimulus.objects.filter(picture__in=names).values_list("picture"))
    for name in {name for name in names if name and (name,) not in used}:
        default_storage.delete(name)


def is_over(end: float | None) -> bool:
    """Tell whether it is `end` by time.monotonic(), or later; never so for None."""
    return end is not None and time.monotonic() >= end


def _copy_some(study: Study, end: float | None) -> int:
    """Copy a few renders and write their rows; how many were copied."""
    copies: list[Stimulus] = []
    renders = to_copy(study).select_related("content", "style")
    try:
        for render in renders[:MOST_AT_ONCE]:
            copies.append(_copy(study, render))
            if is_over(end):
                break
    finally:
        if copies:
            _keep(study, copies)
    return len(copies)


def as_stimulus(study: Study, render: Render) -> Stimulus:
    """Make of a render what it is in a study: unsaved, without file and losses yet."""
    return Stimulus(
        study=study,
        render=render,
        parameters={
            "content": render.content.title,
            "style": render.style.title,
            **column_values(render.render_settings()),
            **({} if render.alpha is None else {"alpha": render.alpha}),
        },
    )


def _copy(study: Study, render: Render) -> Stimulus:
    """Make an unsaved stimulus with its own file."""
    stimulus = as_stimulus(study, render)
    stimulus.parameters |= _losses(render) | _shares(render)
    with _reading(f"The picture of render {render.pk}, {render},"):
        file = read_stored(render.picture)
        # As a worker has written it: named by its pixels, and nothing to strip.
        bare = bool(render.pixel_sha256) and is_bare_png(file.getvalue())
        if not bare:
            keep_picture(stimulus, decode(file.getvalue(), min_side=1))
            return stimulus
        with Image.open(file) as picture:
            stimulus.width, stimulus.height = picture.size
    stimulus.pixel_sha256 = render.pixel_sha256
    stimulus.picture.save("", ContentFile(file.getvalue()), save=False)
    return stimulus


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raises CannotOpen if a picture is not there or cannot be decoded."""
    try:
        yield
    except DecoderBusy as busy:
        raise CannotOpen(str(busy)) from busy
    except (OSError, SyntaxError, ValueError) as error:
        raise CannotOpen(
            f"{what} cannot be read ({error}). Leave it out, or mend its file."
        ) from error


def _keep(study: Study, copies: list[Stimulus]) -> None:
    """Save new stimuli, but those that somebody else has copied or taken out since.

    The files were written before: the database is held for a moment only, for others
    write ratings meanwhile.
    """
    with transaction.atomic():
        held = hold(study)
        wanted = set()
        if held.state in UNFROZEN:
            wanted = set(to_copy(held).values_list("pk", flat=True))
        kept = [it for it in copies if it.render_id in wanted]
        Stimulus.objects.bulk_create(kept, batch_size=500)
        names = [it.picture.name for it in copies if it.render_id not in wanted]
        transaction.on_commit(partial(delete_unused, names))
    study.refresh_from_db(fields=["state", "experiment", "all_renders", "chosen"])
    check_unfrozen(study)


@contextmanager
def discarding_files(stimuli: Mapping[Any, Stimulus]) -> Iterator[None]:
    """Delete the files of stimuli again if their rows are not written after all."""
    try:
        yield
    except BaseException:
        for stimulus in stimuli.values():
            stimulus.picture.delete(save=False)
        raise


def keep_with_references(
    stimuli: Mapping[str, Stimulus], references: Mapping[str, str]
) -> None:
    """Write rows of new stimuli, then which of them, by key, refers to which."""
    Stimulus.objects.bulk_create(stimuli.values(), batch_size=500)
    for key, reference in references.items():
        stimuli[key].reference = stimuli[reference]
    Stimulus.objects.bulk_update(
        [stimuli[key] for key in references], ["reference"], batch_size=500
    )


def write_picture(stimulus: Stimulus, pixels: Image.Image) -> None:
    """Write an unsaved stimulus' own file: pixels only, under a random name."""
    stimulus.width, stimulus.height = pixels.size
    stimulus.pixel_sha256 = pixel_sha256(pixels)
    stimulus.picture.save("", ContentFile(png_bytes(pixels)), save=False)


def keep_picture(stimulus: Stimulus, decoded: DecodedPicture) -> None:
    """Write the own file of an unsaved stimulus whose picture was decoded apart."""
    made = decoded.made
    stimulus.width, stimulus.height = made.width, made.height
    stimulus.pixel_sha256 = made.pixel_sha256
    stimulus.picture.save("", decoded.png, save=False)


def _lacking_references(study: Study) -> QuerySet[Stimulus]:
    """Pictures of renders that have no content image beside them yet."""
    if not method_of(study).needs_references:
        return Stimulus.objects.none()
    return study.stimuli.filter(reference=None, render__isnull=False)


def _add_references(study: Study, end: float | None) -> None:
    """The content image for every picture that lacks it."""
    references = _References(study)
    for stimulus in _lacking_references(study).select_related("render__content"):
        if (render := stimulus.render) is not None:
            size = stimulus.width, stimulus.height
            asked = render.render_settings()
            box = seen(asked.fit, render.content.size, asked.content_focus)
            reference = references.of(render.content, box, size, asked.resample)
            with transaction.atomic():
                hold_unfrozen(study)
                # Either may have been taken out in another tab by now.
                if study.stimuli.filter(pk=reference.pk).exists():
                    lacking = _lacking_references(study).filter(pk=stimulus.pk)
                    lacking.update(reference=reference)
        if is_over(end):
            break


class _References:
    """The content images of a study as stimuli, each part of each made once a size."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._made: dict[tuple[Any, ...], Stimulus] = {}

    def of(self, content: SourceImage, box: Box, size: Size, how: str) -> Stimulus:
        """The part `box` of a content image, at `size`, through the filter `how`."""
        key = content.pk, box, size, how
        if key not in self._made:
            self._made[key] = self._find_or_make(content, box, size, how)
        return self._made[key]

    def _find_or_make(
        self, content: SourceImage, box: Box, size: Size, how: str
    ) -> Stimulus:
        with _reading(f"The content image “{content}”"), content.picture.open() as file:
            decoded = decode(file, box=box, size=size, resample=how)
        reference = Stimulus(
            study=self._study, is_reference=True, parameters={"content": content.title}
        )
        digest = decoded.made.pixel_sha256
        known = self._study.stimuli.filter(is_reference=True, pixel_sha256=digest)
        if found := known.first():
            return found
        keep_picture(reference, decoded)
        with transaction.atomic():
            hold_unfrozen(self._study)
            if found := known.first():
                name = reference.picture.name
                transaction.on_commit(partial(delete_unused, [name]))
                return found
            reference.save()
        return reference


def _losses(render: Render) -> dict[str, float]:
    """The losses of the picture that was kept, before their weights."""
    kept = kept_losses(render.losses, render.curve)
    usual = [it for it in ("content", "style", "tv") if kept.get(it) is not None]
    return {f"{term}_loss": kept[term] for term in usual}


def _shares(render: Render) -> dict[str, float]:
    """Where the picture lies between its two ends, as far as that has a number."""
    shares = {name: getattr(render, name) for name in SHARES}
    return {name: share for name, share in shares.items() if share is not None}
