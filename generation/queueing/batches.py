"""Queueing the renders of an experiment: rows, and batches of them for workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from generation.engine.grid import Cell
from generation.engine.networks.weights import IMAGENETS
from generation.experiments.forecast import (
    NoWeights,
    Rates,
    check_room,
    missing_weights,
    most_bytes,
    pixels,
    sizes_of,
)
from generation.models import Batch, Experiment, Render, RenderQuerySet
from generation.queueing.dispatch import dispatch
from nstlab.core import jobs

# So many renders at once are an order that somebody waits for: they overtake grids.
URGENT_RENDERS = 4


@dataclass(frozen=True)
class Queued:
    """The result of queueing an experiment: `new` rows of `total` cells.

    `reused` of them took a finished picture, the others are in `batches`, which one
    worker will paint in about `seconds`.
    """

    new: int
    reused: int
    total: int
    batches: int
    seconds: float


@transaction.atomic
def queue_experiment(experiment: Experiment) -> Queued:
    """Make the rows of the experiment's grid that are missing and queue them.

    Asking again queues nothing twice: a render is named by its request. Raises
    ImpossibleGrid, NoWeights where no render host has those asked for, or NoRoom when
    the pictures would not fit, before anything is written.
    """
    # Whoever asks at the same time waits here and then finds nothing new.
    held = Experiment.objects.select_for_update().get(pk=experiment.pk)
    # Hosts tell at any moment: names are asked for once, for cells and for later.
    experiment.queued_weights = named = {
        f"{network} {kind}": held.name_weights(kind, network)
        for kind, network in IMAGENETS
    }
    cells = experiment.cells()
    experiment.queued_weights = held.queued_weights
    _keep_to_weights(experiment, cells, named)
    present = set(experiment.renders.values_list("digest", flat=True))
    new = [cell for cell in cells if cell.digest not in present]
    finished = {}
    if experiment.reuse:
        finished = Render.objects.finished([cell.digest for cell in new])
    left = [cell for cell in new if cell.digest not in finished]
    if missing := missing_weights(cell.settings.weights for cell in left):
        raise NoWeights(missing)
    sizes = sizes_of(cell.content for cell in left)
    wanted = sum(
        most_bytes(pixels(cell.settings, sizes[cell.content])) for cell in left
    )
    if wanted:
        check_room(wanted, experiment.owner)
    rows = []
    for cell in new:
        row = Render.from_cell(cell, experiment=experiment)
        if other := finished.get(cell.digest):
            row.take_picture_of(other)
        rows.append(row)
    waiting = [row for row in rows if row.status == Render.Status.QUEUED]
    batches = _into_batches(experiment, waiting)
    Render.objects.bulk_create(rows, batch_size=500)
    return Queued(
        new=len(new),
        reused=len(finished),
        total=len(cells),
        batches=len(batches),
        seconds=sum(batch.expected_seconds for batch in batches),
    )


def _keep_to_weights(
    experiment: Experiment, cells: Sequence[Cell], named: Mapping[str, str]
) -> None:
    """Write down what ImageNet's weights are in this experiment from now on, of those
    that its cells have."""
    used = {(cell.settings.weights.partition(":")[0], cell.settings.network)
            for cell in cells}  # fmt: skip
    kept = {
        f"{network} {kind}": named[f"{network} {kind}"]
        for kind, network in used.intersection(IMAGENETS)
    }
    if not kept.items() <= experiment.queued_weights.items():
        experiment.queued_weights = {**experiment.queued_weights, **kept}
        experiment.save(update_fields=["queued_weights"])


def _into_batches(experiment: Experiment, renders: Sequence[Render]) -> list[Batch]:
    """Group queued rows into new batches, to be sent to the broker after the commit.

    A batch is expected to take NSTLAB_BATCH_SECONDS at most, unless a single render
    takes longer. Its renders share network and size, and so the work that is done once
    for both. The caller saves the rows.
    """
    groups: list[list[Render]] = []
    seconds: list[float] = []
    rates, before = Rates(), None
    sizes = sizes_of(render.content_id for render in renders)
    longest = settings.NSTLAB_BATCH_SECONDS
    for render in sorted(renders, key=_shared):
        cost = rates.seconds(render.render_settings(), sizes[render.content_id])
        if _shared(render) != before or seconds[-1] + cost > longest:
            groups.append([])
            seconds.append(0.0)
        before = _shared(render)
        groups[-1].append(render)
        seconds[-1] += cost
    batches = Batch.objects.bulk_create(
        (
            Batch(
                experiment=experiment,
                urgent=len(renders) <= URGENT_RENDERS,
                expected_seconds=cost,
                timeout_seconds=jobs.timeout_for(cost),
            )
            for cost in seconds
        ),
        batch_size=500,
    )
    for batch, group in zip(batches, groups, strict=True):
        for render in group:
            render.batch = batch
    transaction.on_commit(dispatch)
    return batches


def _shared(render: Render) -> tuple[Any, ...]:
    """The settings that the renders of one batch share, to sort them by."""
    return (
        render.method,
        render.network,
        render.weights,
        render.pooling,
        render.objective,
        render.size,
    )


@transaction.atomic
def retry_renders(renders: RenderQuerySet) -> int:
    """Queue renders that failed, were refused or were cancelled once more."""
    failed = renders.retriable().select_related("experiment")
    queued = [render for render in failed if render.retry()]
    put_into_batches(queued)
    return len(queued)


def put_into_batches(renders: Iterable[Render]) -> int:
    """Move queued rows into new batches; how many batches. Call it in a transaction."""
    by_experiment: dict[Experiment, list[Render]] = {}
    for render in renders:
        by_experiment.setdefault(render.experiment, []).append(render)
    batches = 0
    for experiment, group in by_experiment.items():
        batches += len(_into_batches(experiment, group))
        Render.objects.bulk_update(group, ["batch"], batch_size=500)
    return batches
