"""What a researcher or a worker does that touches more than one row."""

from __future__ import annotations

import datetime as dt
import io
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, zip_longest
from typing import Any

from django.conf import settings
from django.core.files import File
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from rq.job import Job

from generation.engine.grid import Axes, overridden
from generation.forecast import Rates, check_room, most_bytes
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
from generation.pictures.decoding import DecodedPicture, decode
from generation.presets import Preset, fixed_settings
from generation.queueing.reproduction import end_lost
from nstlab.core import jobs

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 160
# So many renders at once are an order that somebody waits for: they overtake grids.
URGENT_RENDERS = 4
# The queues of renders, in the order in which workers empty them.
RENDER_QUEUES = ("render-high", "render")
JOB_ID = re.compile(r"batch-(?P<pk>\d+)-(?P<attempt>\d+)")


# Pictures ---------------------------------------------------------------------


def add_source_image(
    *, data: bytes | DecodedPicture, title: str, **fields: Any
) -> tuple[SourceImage, tuple[str, ...]]:
    """Store an uploaded picture upright, in sRGB and without metadata.

    Returns the row and sentences about what was converted. Raises ImageRefused, and
    DecoderBusy for bytes.
    """
    decoded = decode_source_image(data) if isinstance(data, bytes) else data
    made = decoded.made
    image = SourceImage(
        title=title,
        width=made.width,
        height=made.height,
        sha256=decoded.source_sha256,
        pixel_sha256=made.pixel_sha256,
        notes="\n".join(made.notes),
        **fields,
    )
    image.picture.save("", decoded.png, save=False)
    if decoded.small is not None:
        image.thumbnail.save("", decoded.small, save=False)
    image.save()
    return image, made.notes


def decode_source_image(source: bytes | File[bytes]) -> DecodedPicture:
    """What `add_source_image` stores. Raises ImageRefused or DecoderBusy."""
    return decode(source, small_side=THUMBNAIL_SIDE)


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
        "content_layer": default_content_layers(),
        "alpha_beta": default_alpha_beta(),
        "tv_weight": default_tv_weights(),
    }
    axes = overridden(usual, preset.axes)
    fields: dict[str, Any] = {
        "name": f"{preset.title}, {objective}",
        "description": preset.description,
        "content_layer": axes.pop("content_layer"),
        "alpha_beta": axes.pop("alpha_beta", []),
        "tv_weight": axes.pop("tv_weight"),
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


@transaction.atomic
def duplicate_experiment(experiment: Experiment, *, owner: Any) -> Experiment:
    """A new experiment with the same pairs and settings, and no renders."""
    most = Experiment._meta.get_field("name").max_length or 0
    original = re.sub(r" \(copy(?: \d+)?\)$", "", experiment.name)
    for number in count(1):
        ending = " (copy)" if number == 1 else f" (copy {number})"
        name = original[: most - len(ending)] + ending
        if not Experiment.objects.filter(name=name).exists():
            break
    kept = {
        field.name: getattr(experiment, field.name)
        for field in Experiment._meta.concrete_fields
        if field.name not in ("id", "name", "owner", "created_at")
    }
    copy = Experiment.objects.create(name=name, owner=owner, **kept)
    copy.contents.set(experiment.contents.all())
    copy.styles.set(experiment.styles.all())
    for pair in experiment.pairs.all():
        Pair.objects.create(
            experiment=copy,
            content_id=pair.content_id,
            style_id=pair.style_id,
            axes=pair.axes,
        )
    return copy


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
    # Whoever asks at the same time waits here and then finds nothing new.
    Experiment.objects.select_for_update().get(pk=experiment.pk)
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


def _into_batches(experiment: Experiment, renders: Sequence[Render]) -> list[Batch]:
    """Group queued rows into new batches of NSTLAB_BATCH_SECONDS; the caller saves the
    rows. They are sent to the broker after the commit.

    The renders of a batch share network and size, and so the work done for both.
    """
    groups: list[list[Render]] = []
    seconds: list[float] = []
    rates, before = Rates(), None
    longest = settings.NSTLAB_BATCH_SECONDS
    for render in sorted(renders, key=_shared):
        cost = rates.seconds(render)
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
    transaction.on_commit(feed)
    return batches


def _shared(render: Render) -> tuple[Any, ...]:
    """What the renders of one batch have in common; sorting by it keeps their order."""
    return render.network, render.weights, render.pooling, render.objective, render.size


@transaction.atomic
def retry_renders(renders: QuerySet[Render]) -> int:
    """Queue renders that failed, were refused or were cancelled once more."""
    by_experiment: dict[Experiment, list[Render]] = {}
    failed = renders.filter(status__in=Render.RETRIABLE).select_related("experiment")
    for render in failed:
        if render.retry():
            by_experiment.setdefault(render.experiment, []).append(render)
    for experiment, group in by_experiment.items():
        _rebatch(experiment, group)
    return sum(map(len, by_experiment.values()))


def _rebatch(experiment: Experiment, renders: Sequence[Render]) -> list[Batch]:
    """Move queued rows into new batches."""
    batches = _into_batches(experiment, renders)
    Render.objects.bulk_update(renders, ["batch"], batch_size=500)
    return batches


# Feeding the broker -----------------------------------------------------------


def feed() -> int:
    """Send waiting batches to the broker, a few of each researcher; how many.

    The broker works first come, first served. Fairness is that a researcher's next
    batch gets there only when an earlier one has left: grids of two people are painted
    by turns, however large the first was. Small orders have a queue of their own,
    which workers empty first.
    """
    waiting = Batch.objects.filter(over=False, sent_at=None)
    lines = list(
        waiting.order_by().values_list("experiment__owner", "urgent").distinct()
    )
    if not lines:
        return 0
    unclaimed = Batch.objects.filter(over=False, sent_at__isnull=False, token=None)
    there = Counter(unclaimed.values_list("experiment__owner", "urgent"))
    # Enough that no worker waits for the next call, which comes after each batch.
    window = 4 + 2 * jobs.workers_of("render")
    room = {line: window - there[line] for line in lines if there[line] < window}
    if not room:
        return 0
    queued = Render.objects.filter(batch=OuterRef("pk"), status=Render.Status.QUEUED)
    with transaction.atomic():
        taken = [
            list(
                waiting.filter(Exists(queued), experiment__owner=owner, urgent=urgent)
                .order_by("pk")
                .select_related("experiment")
                .select_for_update(skip_locked=True, of=("self",))[:places]
            )
            for (owner, urgent), places in room.items()
        ]
        by_turns = [it for turn in zip_longest(*taken) for it in turn if it is not None]
        Batch.objects.filter(pk__in=[batch.pk for batch in by_turns]).update(
            sent_at=timezone.now()
        )
    if by_turns:
        send(by_turns)
    return len(by_turns)


def send(batches: Sequence[Batch]) -> None:
    """Hand batches to the broker; if it is away they wait for the next `feed`."""
    orders = [
        jobs.Order(
            batch,
            task="generation.queueing.tasks.render_batch",
            args=(batch.pk, batch.attempt),
            timeout=batch.timeout_seconds,
            description=f"{batch.experiment}: {batch.job_id}",
        )
        for batch in sorted(batches, key=lambda it: RENDER_QUEUES.index(it.queue))
    ]
    if not jobs.send(orders):
        Batch.objects.filter(pk__in=[batch.pk for batch in batches], token=None).update(
            sent_at=None
        )


# Mending ----------------------------------------------------------------------


@transaction.atomic
def abandon(batch: Batch, reason: str) -> bool:
    """Take a batch from a worker that is gone and queue what it left undone.

    Returns False if somebody else already did, or nothing was left. What the worker
    still does afterwards is refused, because its token is no longer on the rows.
    Call `feed` afterwards.
    """
    if not batch.next_attempt(batch.attempt):
        return False
    for render in batch.renders.filter(status=Render.Status.RUNNING):
        render.give_back(reason)
    if not batch.renders.filter(status=Render.Status.QUEUED).exists():
        Batch.objects.filter(pk=batch.pk).update(over=True)
        return False
    return True


def reap() -> int:
    """Reconcile rows, files and queue; returns how many batches were queued again.

    A batch is taken back when its lease ran out (dead worker, dead host), and sent
    again when it was sent but no job carries it (lost broker, killed web process).
    What cancelled or killed renders left behind is taken away.
    """
    again = 0
    now = timezone.now()
    current = Batch.objects.filter(over=False)
    for batch in current.filter(lease_until__lt=now):
        again += abandon(batch, "Its worker stopped answering.")
    again += _gather_strays()
    current.filter(lease_until=None).exclude(
        Exists(Render.objects.unfinished().filter(batch=OuterRef("pk")))
    ).update(over=True)
    try:
        sent = current.filter(lease_until=None, sent_at__isnull=False)
        for batch in jobs.lost(sent, at_work=_has_just_begun):
            again += abandon(batch, "The queue had lost it.")
        forget_old_jobs(now)
        end_lost()
    except jobs.AWAY:
        log.warning("The broker is away; what it held waits for it.")
    idle = Render.objects.exclude(status=Render.Status.RUNNING)
    for render in idle.filter(token__isnull=False):
        render.tidy()
    feed()
    return again


@transaction.atomic
def _gather_strays() -> int:
    """Put renders that no open batch will paint into batches of their own; how many.

    A worker that has just lost its batch and does not know it may start one more row,
    which then runs under a token that nobody renews.
    """
    strays = Render.objects.unfinished().filter(
        Q(batch=None)
        | Q(batch__over=True)
        | Q(status=Render.Status.RUNNING) & ~Q(token=F("batch__token"))
    )
    by_experiment: dict[Experiment, list[Render]] = {}
    for render in strays.select_related("experiment"):
        if render.status == Render.Status.RUNNING:
            render.give_back("Its worker had lost the batch.")
        if render.status == Render.Status.QUEUED:
            by_experiment.setdefault(render.experiment, []).append(render)
    return sum(
        len(_rebatch(experiment, group)) for experiment, group in by_experiment.items()
    )


def _has_just_begun(job: Job, now: dt.datetime) -> bool:
    """Whether its worker may not have had the time to claim the batch."""
    begun = (job.started_at or now).replace(tzinfo=dt.UTC)
    return now - begun < 3 * (lease_end() - now)


def forget_old_jobs(now: dt.datetime) -> None:
    """Take jobs out of the broker whose batch is over or has a newer attempt.

    A batch that has just ended is left to the worker that ended it.
    """
    for name in RENDER_QUEUES:
        found = {
            job_id: (int(parts["pk"]), int(parts["attempt"]))
            for job_id in jobs.present(name)
            if (parts := JOB_ID.fullmatch(job_id))
        }
        current = set(
            Batch.objects.filter(pk__in=[pk for pk, _ in found.values()])
            .filter(Q(over=False) | Q(lease_until__gt=now))
            .values_list("pk", "attempt")
        )
        jobs.discard(name, [it for it, key in found.items() if key not in current])
