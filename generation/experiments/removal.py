"""Deleting experiments and source images, with the files that nobody else needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.core.files.storage import default_storage
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from generation.experiments.forecast import renders_are
from generation.models import (
    Experiment,
    Render,
    SourceImage,
    picture_name,
    preview_names,
)


class InUse(Exception):
    """A row that cannot be deleted now; the text says why."""


def users_of(experiment: Experiment) -> list[models.Model]:
    """The rows that rest on an experiment besides its own renders: studies."""
    found: list[models.Model] = []
    for relation in Experiment._meta.related_objects:
        other: Any = relation.related_model
        if relation.on_delete is models.PROTECT and other is not Render:
            found += other._default_manager.filter(**{relation.field.name: experiment})
    return found


def at_work(experiment: Experiment) -> str:
    """A sentence on what is still done for an experiment; empty if nothing is."""
    waiting = experiment.renders.unfinished().count()
    if waiting:
        return f"{renders_are(waiting)} queued or being painted: cancel first."
    held = experiment.batches.unfinished().filter(lease_until__gt=timezone.now())
    if held.exists():
        return "A worker is just leaving it: try again in a minute."
    return ""


@transaction.atomic
def delete_experiment(experiment: Experiment) -> None:
    """Delete an experiment with its pairs, batches and renders and, once that is
    committed, the pictures that no render of another experiment shows.

    Of a picture that others show, the first of them becomes the one that keeps it, and
    counts in its owner's quota. Raises InUse.
    """
    held = Experiment.objects.select_for_update().get(pk=experiment.pk)
    if why := at_work(held):
        raise InUse(why)
    if users := users_of(held):
        raise InUse(f"It is used by {', '.join(f'“{each}”' for each in users)}.")
    own = Render.objects.filter(experiment=held)
    names: list[str] = []
    for pk, token, *files in own.values_list("pk", "token", "picture", "preview"):
        names += filter(None, files)
        if token is not None:
            names += [picture_name(pk, token), *preview_names(pk, token)]
    _hand_over(own)
    own.only("pk").delete()  # their losses are long, and need not be read
    held.delete()
    transaction.on_commit(partial(_delete_unshown, names))


def _hand_over(own: QuerySet[Render]) -> None:
    """Let the renders of others that show these pictures do without these rows."""
    sharing = list(
        Render.objects.filter(reused_from__in=own.values("pk"))
        .only("picture", "picture_bytes", "reused_from")
        .order_by("pk")
    )
    sizes = dict(
        own.filter(pk__in=Render.objects.filter(reused_from__in=own.values("pk"))
                   .values("reused_from")).values_list("pk", "picture_bytes")
    )  # fmt: skip
    heirs: dict[int, Render] = {}
    for render in sharing:
        key = render.reused_from_id
        render.reused_from_id = None
        if not render.picture or key is None:  # its file was lost
            continue
        if key in heirs:
            render.reused_from_id = heirs[key].pk
        else:
            heirs[key] = render
            render.picture_bytes = sizes[key]
    Render.objects.bulk_update(
        sharing, ["reused_from", "picture_bytes"], batch_size=500
    )


def _delete_unshown(names: Sequence[str]) -> None:
    for first in range(0, len(names), 500):
        some = set(names[first : first + 500])
        shown = Render.objects.filter(picture__in=some).values_list("picture")
        _delete_files(some - {name for (name,) in shown})


def _delete_files(names: Iterable[str]) -> None:
    for name in names:
        default_storage.delete(name)


def experiments_with(image: SourceImage) -> QuerySet[Experiment]:
    """The experiments that a source image is chosen for or was painted in."""
    used = Q(content=image) | Q(style=image)
    same = SourceImage.objects.filter(pixel_sha256=image.pixel_sha256)
    if not same.exclude(pk=image.pk).exists():
        used |= Q(start=f"picture:{image.pixel_sha256}")
    renders = Render.objects.filter(used)
    return Experiment.objects.filter(
        Q(pk__in=image.content_pairs.values("experiment"))
        | Q(pk__in=image.style_pairs.values("experiment"))
        | Q(pk__in=Experiment.contents.through._default_manager
            .filter(sourceimage=image).values("experiment"))
        | Q(pk__in=Experiment.styles.through._default_manager
            .filter(sourceimage=image).values("experiment"))
        | Q(pk__in=renders.order_by().values("experiment"))
    )  # fmt: skip


@transaction.atomic
def delete_source_image(image: SourceImage) -> None:
    """Delete a source image that no experiment uses, and its files. Raises InUse."""
    if used := experiments_with(image):
        raise InUse(f"It is used by {', '.join(f'“{each}”' for each in used)}.")
    names = [image.picture.name or "", image.thumbnail.name or ""]
    image.delete()
    transaction.on_commit(partial(_delete_files, list(filter(None, names))))
