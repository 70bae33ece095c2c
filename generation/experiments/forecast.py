"""Forecasts of what a grid will take: evaluations, seconds, bytes, room."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Case, FloatField, Sum, When
from django.db.models.functions import Cast, Greatest, Least
from django.utils.translation import ngettext

from generation.engine.grid import Cell, ImpossibleGrid
from generation.engine.networks.weights import brought_by, describe, is_imagenet
from generation.engine.settings import RenderSettings
from generation.engine.shapes import Size, fitted
from generation.models import (
    Experiment,
    Render,
    RenderQuerySet,
    SourceImage,
    WeightsAtHost,
)
from nstlab.core.jobs import workers_of

# One VGG-16 evaluation at 300 × 300 pixels on two CPU cores; other sizes by area.
GUESSED_SECONDS_AT_300 = 0.92
# So many of the renders finished last tell how fast the lab is now.
LOOKED_AT = 500
# Areas that differ by less are one size: of two photos hardly ever the same pixels.
ALIKE = 0.1
MB = 10**6
# Of the pictures that are cut or squashed.
MOST_NAMED = 6


class NoWeights(ImpossibleGrid):
    """Weights that no render host has; the text says which and what brings them."""


class NoRoom(ImpossibleGrid):
    """The pictures would not fit on the disk or into a quota; the text says how far."""


# Pixels -----------------------------------------------------------------------


def sizes_of(keys: Iterable[Any]) -> dict[Any, Size]:
    """Width and height of source images, by primary key."""
    images = SourceImage.objects.only("width", "height").in_bulk(set(keys))
    return {key: image.size for key, image in images.items()}


def canvas(settings: RenderSettings, content: Size) -> Size:
    """Width and height of a render of a content picture of that size."""
    return fitted(settings.fit, content, settings.size)


def pixels(settings: RenderSettings, content: Size) -> int:
    """How many pixels that render has."""
    width, height = canvas(settings, content)
    return width * height


# Seconds ----------------------------------------------------------------------


class Rates:
    """Seconds per evaluation, by method, network and pixels, as finished renders took
    them.

    Taken from the device that finished one last: the workers present. A size never
    painted is scaled by area from the nearest that was; a lab that has painted
    nothing guesses, and `source` says which of these it is.
    """

    def __init__(self) -> None:
        rows = (
            Render.objects.ready()
            .filter(seconds__gt=0, reused_from=None)
            .order_by("-finished_at")
            .values_list(
                "environment__device",
                "method",
                "network",
                "evaluations",
                "seconds",
                "size",
                "settings__fit",
                "content__width",
                "content__height",
            )[:LOOKED_AT]
        )
        taken: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        self.device = ""
        for device, method, network, evaluations, seconds, size, fit, *content in rows:
            self.device = self.device or str(device)
            if seconds and str(device) == self.device:
                width, height = fitted(fit, (content[0], content[1]), size)
                taken[method, network, width * height].append(seconds / evaluations)
        self.measured = {key: median(values) for key, values in taken.items()}
        self.renders = sum(map(len, taken.values()))

    def per_evaluation(self, wanted: RenderSettings, content: Size) -> float:
        """Seconds that one evaluation of a render takes, or would, of a content picture
        of that size.

        A method never painted takes what it says it costs beside Gatys's.
        """
        area = pixels(wanted, content)
        own = self._measured(wanted.method, wanted.network, area)
        if own is not None:
            return own
        first = RenderSettings.method
        rate = self._measured(first, wanted.network, area)
        if rate is None:
            rate = GUESSED_SECONDS_AT_300 * area / 300**2
        cost = wanted.how.cost(wanted)
        return rate * cost.time * cost.evaluations / wanted.evaluations

    def _measured(self, method: str, network: str, area: int) -> float | None:
        """The method's own rate, scaled by area where this size was never painted."""
        if (method, network, area) in self.measured:
            return self.measured[method, network, area]
        of_it = [key for key in self.measured if key[0] == method]
        same = [key for key in of_it if key[1] == network] or of_it
        if not same:
            return None
        nearest = min(same, key=lambda key: abs(key[2] - area))
        return float(self.measured[nearest] * area / nearest[2])

    def seconds(self, wanted: RenderSettings, content: Size) -> float:
        """Seconds that one render takes, or would."""
        return wanted.evaluations * self.per_evaluation(wanted, content)

    def source(self, renders: Iterable[tuple[RenderSettings, Size]]) -> str:
        """The source of the rates of these renders, in words."""
        if not self.measured:
            return "a guess for two CPU cores: nothing has been painted here yet"
        known = f"measured on {self.renders:,} finished renders on {self.device}"
        others = {
            settings.size
            for settings, content in renders
            if not self._was_painted(settings, pixels(settings, content))
        }
        if not others:
            return known
        return (
            f"{known}, scaled by area to {', '.join(map(str, sorted(others)))} pixels"
        )

    def _was_painted(self, settings: RenderSettings, area: int) -> bool:
        """Whether the rate is of the same method and network and of about that area."""
        wanted = settings.method, settings.network
        return any(
            key[:2] == wanted and abs(key[2] - area) <= ALIKE * area
            for key in self.measured
        )


# Bytes ------------------------------------------------------------------------


def most_bytes(pixels: int) -> int:
    """The most bytes that a PNG of so many pixels has: noise does not compress."""
    return pixels * 3 + pixels // 50 + 4096


def promised_bytes(renders: RenderQuerySet) -> int:
    """The most bytes that the pictures of renders that are not finished will have."""
    waiting = renders.unfinished()
    side, width, height = (
        Cast(name, FloatField())
        for name in ("size", "content__width", "content__height")
    )
    kept = side * side * Least(width, height) / Greatest(width, height)
    area = Case(When(settings__fit="aspect", then=kept), default=side * side)
    most = waiting.aggregate(sum=Sum(area))["sum"] or 0
    return most_bytes(round(most)) + 4096 * waiting.count() if most else 0


def free_bytes() -> int | None:
    """Room on the pictures' disk; None for a store without a known limit."""
    try:
        folder = Path(default_storage.path(""))
    except NotImplementedError:
        return None
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_room(wanted: int, owner: Any = None) -> None:
    """Refuse pictures of `wanted` bytes that do not fit beside those still to come.

    Raises NoRoom, for the disk without its reserve or for the owner's quota.
    """
    free, reserve = free_bytes(), settings.NSTLAB_DISK_RESERVE_MB * MB
    promised = promised_bytes(Render.objects.all())
    if free is not None and wanted + promised > free - reserve:
        raise NoRoom(
            f"The pictures would not fit: they take up to {megabytes(wanted)}, those "
            f"queued before up to {megabytes(promised)}, and the disk has "
            f"{megabytes(free)} of which {megabytes(reserve)} stay free. Make room, or "
            "take fewer or smaller renders."
        )
    quota = settings.NSTLAB_QUOTA_MB * MB
    if quota and owner is not None:
        own = Render.objects.filter(experiment__owner=owner)
        kept = own.aggregate(sum=Sum("picture_bytes"))["sum"] or 0
        used = kept + promised_bytes(own)
        if wanted + used > quota:
            raise NoRoom(
                f"{owner} may keep {megabytes(quota)} of pictures and has, with those "
                f"still to come, up to {megabytes(used)}: these take up to "
                f"{megabytes(wanted)}. Delete experiments, or ask for a larger quota."
            )


# Both -------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """The size of an experiment's grid, and what its `new` renders will take.

    `here` of them are rows of the experiment already, `painted` of those are done;
    `reused` are done in others. `missing` says which weights no render host has, and
    what brings them; `sizes` are those of the new pictures, `shapes` says which of
    those they are painted from are cut or squashed.
    """

    total: int
    here: int
    painted: int
    new: int
    reused: int
    evaluations: int
    seconds: float
    source: str
    workers: int
    bytes: int
    missing: str = ""
    sizes: tuple[Size, ...] = ()
    shapes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self._size()} {self.missing}".strip()

    def _size(self) -> str:
        text = f"The grid has {number_of_renders(self.total)}"
        if self.reused:
            text += f", {self.reused:,} of them painted by other experiments"
        if not self.new:
            return f"{text}; nothing of it is left to paint."
        if self.new < self.total:
            text += f", {self.new:,} of them to paint"
        each = f"{self.workers} {ngettext('worker', 'workers', self.workers)}"
        on = each if self.workers else "one worker (none runs now)"
        return (
            f"{text}: {self.evaluations:,} evaluations, about "
            f"{duration(self.seconds / max(1, self.workers))} on {on} "
            f"({self.source}), up to {megabytes(self.bytes)} of pictures."
            + "".join(f" {sentence}" for sentence in self.shapes)
        )


def forecast(experiment: Experiment, cells: Sequence[Cell] | None = None) -> Forecast:
    """Look at an experiment's grid before it is queued; at other `cells` than those it
    is saved with, while somebody still chooses. Raises ImpossibleGrid."""
    if cells is None:
        cells = experiment.cells()
    present: dict[str, str] = {}
    if experiment.pk:
        present = dict(experiment.renders.values_list("digest", "status"))
    here = [present[cell.digest] for cell in cells if cell.digest in present]
    digests = [cell.digest for cell in cells if cell.digest not in present]
    there = Render.objects.answered(digests) if experiment.reuse else set()
    wanted = set(digests) - there
    left = [cell for cell in cells if cell.digest in wanted]
    images = SourceImage.objects.only("title", "width", "height").in_bulk(
        {key for cell in left for key in (cell.content, cell.style)}
    )
    new = [(cell.settings, images[cell.content].size) for cell in left]
    rates = Rates()
    return Forecast(
        total=len(cells),
        here=len(here),
        painted=here.count(Render.Status.DONE),
        new=len(new),
        reused=len(there),
        evaluations=sum(settings.evaluations for settings, _ in new),
        seconds=sum(rates.seconds(*each) for each in new),
        source=rates.source(new),
        workers=workers_of("render"),
        bytes=sum(most_bytes(pixels(*each)) for each in new),
        missing=missing_weights(settings.weights for settings, _ in new),
        sizes=tuple(sorted({canvas(*each) for each in new})),
        shapes=reshaped(left, images),
    )


def missing_weights(names: Iterable[str]) -> str:
    """Which of these weights no render host has, and what brings them; else nothing."""
    missing = WeightsAtHost.objects.missing(names)
    if not missing:
        return ""
    lacking = "; ".join(map(describe, missing))
    return (
        f"No render host has {lacking}: nothing can be painted with it. "
        + " and ".join(f"`{each}`" for each in dict.fromkeys(map(brought_by, missing)))
        + " on the host of a worker brings it."
        + (
            " Or a duplicate of the experiment takes what the hosts have."
            if any(is_imagenet(name) and ":" in name for name in missing)
            else ""
        )
    )


def reshaped(
    cells: Iterable[Cell], images: Mapping[Any, SourceImage]
) -> tuple[str, ...]:
    """Sentences about the pictures of cells that are cut or squashed, and to what."""
    found: dict[tuple[str, int], dict[Any, None]] = defaultdict(dict)
    for cell in cells:
        side = cell.settings.size
        read = round(side * cell.settings.style_scale)
        for key, to in ((cell.content, side), (cell.style, read)):
            image = images[key]
            if cell.settings.fit != "aspect" and image.width != image.height:
                found[cell.settings.fit, to].setdefault(key)
    said = []
    for (fit, side), keys in sorted(found.items()):
        done = "Squashed to" if fit == "square" else "Cut around the focus to"
        named = [_with_size(images[key]) for key in list(keys)[:MOST_NAMED]]
        if more := len(keys) - len(named):
            named.append(f"{more:,} more")
        said.append(f"{done} {side} × {side}: {', '.join(named)}.")
    return tuple(said)


def _with_size(image: SourceImage) -> str:
    return f"{image} ({image.width} × {image.height})"


def number_of_renders(count: int) -> str:
    """1 render, 2 renders."""
    return f"{count:,} {ngettext('render', 'renders', count)}"


def renders_are(count: int) -> str:
    """1 render is, 2 renders are."""
    return f"{number_of_renders(count)} {ngettext('is', 'are', count)}"


def megabytes(count: int) -> str:
    """Bytes as a person reads them: 0.4 MB, 12 MB, 3.4 GB."""
    if count >= 1000 * MB:
        return f"{count / 1000 / MB:,.1f} GB"
    return f"{count / MB:.1f} MB" if count < 10 * MB else f"{count / MB:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 40 s, 12 min, 3 h 20 min, 4 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.0f} days"
