"""What a researcher or a worker does that touches more than one row."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import django_rq
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from generation.engine.images import open_picture, pixel_sha256, png_bytes
from generation.forecast import Rates, check_room, most_bytes
from generation.grid import Axes, overridden
from generation.models import (
    Batch,
    Experiment,
    Pair,
    Render,
    SourceImage,
    default_alpha_beta,
    default_content_layers,
    default_tv_weights,
    lease_end,
)
from generation.presets import Preset, fixed_settings

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 160
# A batch takes about this long, so that a dead worker costs little.
BATCH_SECONDS = 45.0


# Pictures ---------------------------------------------------------------------


def add_source_image(
    *, data: bytes, title: str, **fields: Any
) -> tuple[SourceImage, tuple[str, ...]]:
    """Store an uploaded picture upright, in sRGB and without metadata.

    Returns the row and sentences about what was converted. Raises ImageRefused.
    """
    opened = open_picture(data)
    png = png_bytes(opened.image)
    small = opened.image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    image = SourceImage(
        title=title,
        width=opened.image.width,
        height=opened.image.height,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(opened.image),
        notes="\n".join(opened.notes),
        **fields,
    )
    image.picture.save("", ContentFile(png), save=False)
    image.thumbnail.save("", ContentFile(png_bytes(small)), save=False)
    image.save()
    return image, opened.notes


def picture_bytes(field: Any) -> io.BytesIO:
    """A stored picture's file, read whole."""
    with field.storage.open(field.name) as file:
        return io.BytesIO(file.read())


# Presets ----------------------------------------------------------------------


class PresetRefused(ValueError):
    """A preset that cannot be made into an experiment; the text says why."""


@transaction.atomic
def experiment_from_preset(
    *,
    preset: Preset,
    objective: str,
    pictures: Mapping[str, SourceImage],
    weights: str = "imagenet",
    owner: Any = None,
    **instead: Any,
) -> Experiment:
    """Make an experiment of the paper; `pictures` maps its file names to images.

    `instead` replaces fields of the experiment, as its name or size. Raises
    PresetRefused.
    """
    if missing := [file for file in preset.files if file not in pictures]:
        raise PresetRefused(f"These pictures are missing: {', '.join(missing)}.")
    usual: Axes = {
        "content_layers": default_content_layers(),
        "alpha_beta": default_alpha_beta(),
        "tv_weight": default_tv_weights(),
    }
    axes = overridden(usual, preset.axes)
    fields: dict[str, Any] = {
        "name": f"{preset.title}, {objective}",
        "description": preset.description,
        "content_layers": axes.pop("content_layers"),
        "alpha_beta": axes.pop("alpha_beta", []),
        "tv_weights": axes.pop("tv_weight"),
        "weights": weights,
        "owner": owner,
    }
    fixed = fixed_settings(objective) | instead
    known = {field.name for field in Experiment._meta.fields}
    fields |= {name: value for name, value in fixed.items() if name in known}
    others = {name: [value] for name, value in fixed.items() if name not in known}
    if Experiment.objects.filter(name=fields["name"]).exists():
        raise PresetRefused(f"There is an experiment {fields['name']} already.")
    experiment = Experiment.objects.create(**fields, more_axes={**axes, **others})
    for pair in preset.pairs:
        Pair.objects.create(
            experiment=experiment,
            content=pictures[pair.content],
            style=pictures[pair.style],
            axes=dict(pair.axes),
        )
    return experiment


# Queueing ---------------------------------------------------------------------


@dataclass(frozen=True)
class Queued:
    """What queueing an experiment did: `new` rows of `total` cells, of which `reused`
    took a finished picture and the others are in `batches`, which one worker will paint
    in about `seconds`."""

    new: int
    reused: int
    total: int
    batches: int
    seconds: float


@transaction.atomic
def queue_experiment(experiment: Experiment) -> Queued:
    """Make the rows of the experiment's grid that are missing and queue them.

    Asking again queues nothing twice: a render is named by its request. Raises
    ImpossibleGrid, or NoRoom when the pictures would not fit, before anything is
    written.
    """
    cells = experiment.cells()
    present = set(experiment.renders.values_list("digest", flat=True))
    new = [cell for cell in cells if cell.digest not in present]
    finished = {}
    if experiment.reuse:
        finished = Render.objects.finished([cell.digest for cell in new])
    wanted = sum(
        most_bytes(cell.settings.size**2) for cell in new if cell.digest not in finished
    )
    if wanted:
        check_room(wanted, experiment.owner)
    rows = []
    for cell in new:
        row = Render.from_cell(cell, experiment=experiment)
        if other := finished.get(cell.digest):
            row.take_picture_of(other)
        rows.append(row)
    Render.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    waiting = experiment.renders.filter(status=Render.Status.QUEUED, batch=None).only(
        "experiment", "network", "weights", "pooling", "size", "evaluations"
    )
    batches = _into_batches(experiment, waiting)
    return Queued(
        new=len(new),
        reused=len(finished),
        total=len(cells),
        batches=len(batches),
        seconds=sum(batch.expected_seconds for batch in batches),
    )


def _into_batches(experiment: Experiment, renders: Iterable[Render]) -> list[Batch]:
    """Group queued rows into batches of about BATCH_SECONDS and enqueue those.

    The renders of a batch share network and size, and so the work done for both.
    """
    groups: list[list[int]] = []
    seconds: list[float] = []
    rates, before = Rates(), None
    for render in sorted(renders, key=_shared):
        cost = rates.seconds(render)
        if _shared(render) != before or seconds[-1] + cost > BATCH_SECONDS:
            groups.append([])
            seconds.append(0.0)
        before = _shared(render)
        groups[-1].append(render.pk)
        seconds[-1] += cost
    batches = Batch.objects.bulk_create(
        (
            Batch(
                experiment=experiment,
                expected_seconds=cost,
                timeout_seconds=max(900, int(40 * cost)),
            )
            for cost in seconds
        ),
        batch_size=500,
    )
    for batch, keys in zip(batches, groups, strict=True):
        Render.objects.filter(pk__in=keys).update(batch=batch)
    if batches:
        # enqueue_many would bypass django-rq's on-commit mode, so commit first.
        transaction.on_commit(partial(enqueue, batches))
    return batches


def _shared(render: Render) -> tuple[Any, ...]:
    """What the renders of one batch have in common; sorting by it keeps their order."""
    return render.network, render.weights, render.pooling, render.size


def enqueue(batches: Sequence[Batch]) -> None:
    """Hand batches to the queue; a broker that is away is left to `reap`."""
    queue = django_rq.get_queue("render")
    try:
        queue.enqueue_many(
            [
                queue.prepare_data(
                    "generation.tasks.render_batch",
                    args=[batch.pk, batch.attempt],
                    job_id=batch.job_id,
                    timeout=batch.timeout_seconds,
                    result_ttl=3600,
                    failure_ttl=7 * 24 * 3600,
                    description=f"{batch.experiment}: {batch.job_id}",
                )
                for batch in batches
            ]
        )
    except (RedisError, OSError):
        log.warning("The broker is away; %d batches wait for reap.", len(batches))


@transaction.atomic
def retry_renders(renders: QuerySet[Render]) -> int:
    """Queue renders that failed, were refused or were cancelled once more."""
    by_experiment: dict[Experiment, list[Render]] = {}
    for render in renders.filter(status__in=Render.RETRIABLE):
        if render.retry():
            by_experiment.setdefault(render.experiment, []).append(render)
    for experiment, group in by_experiment.items():
        _into_batches(experiment, group)
    return sum(map(len, by_experiment.values()))


# Mending ----------------------------------------------------------------------


@transaction.atomic
def abandon(batch: Batch, reason: str) -> bool:
    """Take a batch from a worker that is gone and queue what it left undone.

    Returns False if somebody else already did, or nothing was left. What the worker
    still does afterwards is refused, because its token is no longer on the rows.
    """
    if not batch.next_attempt(batch.attempt):
        return False
    for render in batch.renders.filter(status=Render.Status.RUNNING):
        render.give_back(reason)
    if not batch.renders.filter(status=Render.Status.QUEUED).exists():
        return False
    batch.refresh_from_db()
    transaction.on_commit(partial(enqueue, [batch]))
    return True


def reap() -> int:
    """Reconcile rows with the queue; returns how many batches were queued again.

    A batch is taken back when its lease ran out (dead worker, dead host), and queued
    again when its rows wait but no job carries them (lost broker, killed web process).
    """
    again = 0
    waiting = Batch.objects.filter(
        renders__status__in=[Render.Status.QUEUED, Render.Status.RUNNING]
    ).distinct()
    now = timezone.now()
    for batch in waiting.filter(lease_until__lt=now):
        again += abandon(batch, "Its worker stopped answering.")
    connection = django_rq.get_connection("render")
    serializer = django_rq.get_queue("render").serializer
    for batch in waiting.filter(lease_until=None):
        try:
            job = Job.fetch(batch.job_id, connection=connection, serializer=serializer)
            carried = _will_run(job.get_status(refresh=False), job.started_at, now)
        except NoSuchJobError:
            carried = False
        except (RedisError, OSError):
            return again  # without a broker nothing can be queued
        if not carried:
            again += abandon(batch, "The queue had lost it.")
    return again


def _will_run(
    status: JobStatus | None, started_at: dt.datetime | None, now: dt.datetime
) -> bool:
    """Whether a job that nobody has claimed will still be worked on."""
    if status == JobStatus.STARTED:
        # A worker claims within a moment of starting; one that did not has died.
        begun = (started_at or now).replace(tzinfo=dt.UTC)
        return now - begun < 3 * (lease_end() - now)
    return status in {JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED}
