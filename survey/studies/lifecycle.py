"""The researcher's side of a study: its pictures, opening it, a new version of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models, transaction
from django.db.models import Q, QuerySet
from PIL import Image

from generation.engine.factors import column_values
from generation.engine.images import is_bare_png, pixel_sha256, png_bytes
from generation.models import Render, SourceImage
from generation.pictures.decoding import DecodedPicture, DecoderBusy, decode
from generation.services import picture_bytes
from survey import planning
from survey.design import DesignError
from survey.methods import CannotAsk, method_of
from survey.models import Item, Stimulus, Study, Trial
from survey.refusals import CannotOpen

UNFROZEN = {Study.State.DRAFT, Study.State.PILOTING}

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


def left_to_take_in(study: Study) -> int:
    """How many pictures `take_in` still has to copy, content images among them."""
    return to_copy(study).count() + _lacking_references(study).count()


def take_in(study: Study, seconds: float | None = None) -> int:
    """Give the study its own copy of every finished render it is to show.

    Methods with a reference get the content images too, at the pictures' size and
    through the filter the renders used. Only in draft and pilot: what an open study
    shows never changes.

    With `seconds` it stops after about so many, one picture at least, and the next call
    goes on there, beside others if need be. Returns how many pictures are left. Raises
    CannotOpen, also for a picture that cannot be read; those before it are kept.
    """
    end = None if seconds is None else time.monotonic() + seconds
    check_unfrozen(study)
    while copied := _copy_some(study, end):
        if _over(end):
            break
    if not copied:
        _add_references(study, end)
    return left_to_take_in(study)


def choose_renders(study: Study, chosen: Collection[int]) -> None:
    """Make these finished renders of the experiment the study's pictures, no others.

    `take_in` then copies those that are new. What is shown already keeps its code and
    its marks. Raises CannotOpen for a study that is open, and for pictures that a pilot
    showed.
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


@transaction.atomic
def delete_study(study: Study) -> None:
    """Delete a study that nobody has taken part in, with its pictures and their files.

    Raises ProtectedError while it has participants.
    """
    hold(study)  # so that nobody joins meanwhile
    names = list(study.stimuli.values_list("picture", flat=True))
    archives = list(study.uploads.exclude(archive=""))
    study.delete()
    transaction.on_commit(partial(delete_unused, names))
    for upload in archives:
        transaction.on_commit(partial(upload.archive.delete, save=False))


def delete_unused(names: Iterable[str | None]) -> None:
    """Files of stimuli that are gone; versions of a study share theirs."""
    used = set(Stimulus.objects.filter(picture__in=names).values_list("picture"))
    for name in {name for name in names if name and (name,) not in used}:
        default_storage.delete(name)


def check_unfrozen(study: Study) -> None:
    """Raises CannotOpen if what the study shows, asks and says is frozen."""
    if study.state not in UNFROZEN:
        raise CannotOpen(
            f"“{study}” is {study.state_in_words}: its pictures, questions and texts "
            "are frozen."
        )


def check_all_uploaded(study: Study) -> None:
    """Raises CannotOpen while pictures of an archive are being taken in."""
    if study.uploads.filter(finished_at=None).exists():
        raise CannotOpen(
            f"Pictures of an archive are being taken in for “{study}”: let that end, "
            "or cancel it."
        )


def hold_unfrozen(study: Study) -> Study:
    """The study as it stands now, held until the transaction ends.

    Whoever changes a study, its pictures, questions or texts reads, checks and writes
    them in the transaction that holds it: nobody opens it meanwhile, and nobody else
    changes it. Raises CannotOpen if it is frozen.
    """
    held = hold(study)
    check_unfrozen(held)
    return held


def hold(study: Study) -> Study:
    """The study as it stands now, frozen or not, held until the transaction ends."""
    return Study.objects.select_for_update(of=("self",)).get(pk=study.pk)


def _over(end: float | None) -> bool:
    return end is not None and time.monotonic() >= end


def _copy_some(study: Study, end: float | None) -> int:
    """Copy a few renders and write their rows; how many were copied."""
    copies: list[Stimulus] = []
    renders = to_copy(study).select_related("content", "style")
    try:
        for render in renders[:MOST_AT_ONCE]:
            copies.append(_copy(study, render))
            if _over(end):
                break
    finally:
        if copies:
            _keep(study, copies)
    return len(copies)


def as_stimulus(study: Study, render: Render) -> Stimulus:
    """What a render is in a study: unsaved, without a file and its losses yet."""
    return Stimulus(
        study=study,
        render=render,
        parameters={
            "content": render.content.title,
            "style": render.style.title,
            **column_values(render.render_settings()),
        },
    )


def _copy(study: Study, render: Render) -> Stimulus:
    """An unsaved stimulus with its own file."""
    stimulus = as_stimulus(study, render)
    stimulus.parameters |= _losses(render)
    with _reading(f"The picture of render {render.pk}, {render},"):
        file = picture_bytes(render.picture)
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
    """The same of a picture that was decoded apart."""
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
            resample = render.render_settings().resample
            reference = references.of(render.content, size, resample)
            with transaction.atomic():
                hold_unfrozen(study)
                # Either may have been taken out in another tab by now.
                if study.stimuli.filter(pk=reference.pk).exists():
                    lacking = _lacking_references(study).filter(pk=stimulus.pk)
                    lacking.update(reference=reference)
        if _over(end):
            break


class _References:
    """The content images of a study as stimuli, each size of each made once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._made: dict[tuple[Any, ...], Stimulus] = {}

    def of(self, content: SourceImage, size: tuple[int, int], how: str) -> Stimulus:
        key = content.pk, size, how
        if key not in self._made:
            self._made[key] = self._find_or_make(content, size, how)
        return self._made[key]

    def _find_or_make(
        self, content: SourceImage, size: tuple[int, int], how: str
    ) -> Stimulus:
        with _reading(f"The content image “{content}”"), content.picture.open() as file:
            decoded = decode(file, size=size, resample=how)
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
    """The losses of the picture that was kept: on the pyramid's finest level the
    evaluation of least total."""
    finest = max((point["level"] for point in render.curve), default=1)
    finite = [
        point
        for point in render.curve
        if point["level"] == finest and point["total"] is not None
    ]
    kept = min(finite, key=lambda point: point["total"], default=None)
    if kept is None:
        return {}
    return {f"{term}_loss": kept[term] for term in ("content", "style", "tv")}


def _plan(study: Study) -> None:
    """Write down what will be asked about the pictures, all of which are there.

    In the transaction that lets people in and holds the study, which was read in it.
    Raises CannotOpen with everything that stands against it.
    """
    check_unfrozen(study)
    check_all_uploaded(study)
    if left := left_to_take_in(study):
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
    _check_lacking(study)
    if study.state in UNFROZEN:
        check_all_uploaded(study)
        take_in(study)
    with transaction.atomic():
        hold_people(study)
        # What is planned and frozen is the study as it stands now.
        held = _hold_address(study, Study.State.PILOTING)
        _check_lacking(held)
        if held.state in UNFROZEN:
            _plan(held)
        if not held.open():
            raise CannotOpen(f"“{study}” is already open.")
    study.refresh_from_db()


def _check_lacking(study: Study) -> None:
    if missing := lacking(study):
        raise CannotOpen(f"“{study}” cannot open without {', '.join(missing)}.")


def pilot_study(study: Study) -> None:
    """Let people try the study; nothing they answer counts. Raises CannotOpen."""
    _check_draft(study)
    with transaction.atomic():
        _hold_address(study, Study.State.OPEN)
    check_all_uploaded(study)
    take_in(study)
    with transaction.atomic():
        hold_people(study)
        held = _hold_address(study, Study.State.OPEN)
        _check_draft(held)
        _plan(held)
        held.pilot()
    study.refresh_from_db()


def _check_draft(study: Study) -> None:
    if study.state != Study.State.DRAFT:
        raise CannotOpen(
            f"“{study}” is {study.state_in_words}; only a draft can be piloted."
        )


def hold_people(study: Study) -> None:
    """Hold everybody who has joined, before the study, as whoever answers does."""
    people = study.participants.select_for_update(of=("self",)).order_by("pk")
    list(people.values_list("pk", flat=True))


def _hold_address(study: Study, state: str) -> Study:
    """The study as it stands now, held with every version of it.

    Raises CannotOpen if another version at the address is in `state`: people who come
    would land in the pilot.
    """
    versions = Study.objects.select_for_update(of=("self",)).order_by("pk")
    held = {it.pk: it for it in versions.filter(slug=study.slug)}
    others = [it for it in held.values() if it.pk != study.pk and it.state == state]
    if others:
        raise CannotOpen(
            f"Version {others[0].version} is {others[0].state_in_words} at the same "
            "address: people who come now would land in the pilot. Close it first."
        )
    return held[study.pk]


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
