"""Are the paper's pictures painted again? `python -m benchmarks.paper --help`

`paint` paints, by the settings of the published code and with the trained network:

- `rated`: the seven pictures that people rated, A–G;
- `controls`: three of them once more from other noise, and once in a wrong style;
- `experiment-1`: Experiment 1, smaller;
- `figure-4.1`: the same grid for the documents, of a free photo and a style drawn here,
  with the lab's own defaults and balances instead of α/β.

`table` compares what was painted with the published pictures; `sheet` lays it out. The
paper's pictures are other people's: --images is a folder that has them under the names
of the presets, and under generated/ the published ones. Only figure-4.1 needs none.
What is painted already is not painted again, so a run may be broken off and taken up:

    python -m benchmarks.paper paint rated --images DIR --weights FILE --out OUT
    python -m benchmarks.paper table --images DIR --weights FILE --out OUT
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from generation.contact_sheet.figure import Cell as Shown
from generation.contact_sheet.figure import Figure, Panel
from generation.engine.cli.files import is_painted, opened, write
from generation.engine.grid import PicturePair, expand, overridden
from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.methods.gatys.problem import Problem, gram
from generation.engine.networks.state_dicts import open_file
from generation.engine.networks.vgg import Network
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import resized, to_tensor
from generation.engine.pictures.files import pixel_sha256
from generation.engine.provenance import read_story
from generation.engine.request import Painted, Progress
from generation.engine.settings import (
    ENGINE_VERSION,
    PAPER_STYLE_LAYERS,
    RenderSettings,
)
from generation.presets import PRESETS, published_settings
from nstlab.drawn_styles import swirling_strokes

# The rated pictures, and where the published one lies.
PUBLISHED = {
    "A": "generated/A_yosemite.jpg",
    "B": "generated/B_portrait.jpg",
    "C": "generated/C_violets.jpg",
    "D": "generated/D_cat.jpg",
    "E": "generated/E_toronto.jpg",
    "F": "generated/F_sar_logo.jpg",
    "G": "generated/G_reverse.jpg",
}
# For three of the seven, what the same measures say of another picture.
WRONG_STYLES = {
    "A": "style/wave.jpg",
    "B": "style/scream.jpg",
    "D": "style/stained_glass_tree.jpg",
}
EVALUATIONS = 240  # the most that the published code takes: 12 times 20
FEWER = 120  # of other seeds and wrong styles, beside A–G's best until then
SMALL, SMALL_EVALUATIONS = 160, 50  # the grids
BALANCES = [0.01, 0.03, 0.1, 0.3, 1.0]
GRIDS = {"experiment-1": "1-", "figure-4.1": "free-"}  # the names of their cells
SIDE, QUALITY = 300, 75  # of the published JPEGs, whose quantisation is Pillow's at 75


def _astronaut() -> Image.Image:
    """Eileen Collins, photographed by NASA, public domain; head and shoulders."""
    from skimage import data

    return Image.fromarray(data.astronaut()).crop((60, 0, 380, 320))


FREE: dict[str, Callable[[], Image.Image]] = {
    "astronaut": _astronaut,
    "swirling strokes": swirling_strokes,
}
FREE_PAIR = PicturePair("astronaut", "swirling strokes")


def picture(folder: Path | None, name: str) -> Image.Image:
    """A picture of the measurement: a free one, or the paper's from its folder."""
    if name in FREE:
        return FREE[name]()
    if folder is None:
        raise SystemExit(f"--images must name the folder that has {name}.")
    return opened(folder / name, "picture")


# Painting ---------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One picture to paint, and the evaluations at which the best so far is kept."""

    pair: PicturePair
    settings: RenderSettings
    kept: tuple[int, ...] = ()


def cells(group: str, folder: Path | None, weights: str) -> dict[str, Cell]:
    """The pictures of a group by name: `A`, `A-seed`, `1-conv1_1-0.001`, …"""
    if group == "rated":
        return {
            letter: replace(_rated(letter, folder, weights), kept=(FEWER,))
            for letter in PUBLISHED
        }
    if group == "controls":
        planned = {}
        for letter, style in WRONG_STYLES.items():
            cell = _rated(letter, folder, weights)
            fewer = replace(cell.settings, evaluations=FEWER)
            pair = PicturePair(cell.pair.content, style)
            planned[f"{letter}-seed"] = Cell(cell.pair, replace(fewer, seed=1))
            planned[f"{letter}-wrong"] = Cell(pair, fewer)
        return planned
    small = {"size": SMALL, "evaluations": SMALL_EVALUATIONS, "weights": weights}
    if group == "experiment-1":
        [pair] = PRESETS["1"].pairs
        axes = PRESETS["1"].axes
        small = published_settings("notebook") | small
    else:
        pair = FREE_PAIR
        axes = {"content_layer": PAPER_STYLE_LAYERS, "balance": BALANCES}
    made = _expanded(pair, axes, folder, small)
    return {
        f"{GRIDS[group]}{each.settings.content_layer[0][0]}"
        f"-{each.settings.content_weight:g}": each
        for each in made
    }


def _rated(letter: str, folder: Path | None, weights: str) -> Cell:
    preset = PRESETS[f"3{letter}"]
    [pair] = preset.pairs
    fixed = published_settings("notebook") | {
        "evaluations": EVALUATIONS,
        "weights": weights,
    }
    [cell] = _expanded(pair, overridden(preset.axes, pair.axes), folder, fixed)
    return cell


def _expanded(
    pair: PicturePair, axes: Any, folder: Path | None, fixed: dict[str, Any]
) -> list[Cell]:
    """The conditions of one pair."""
    made = expand(
        pairs=[PicturePair(pair.content, pair.style)],
        pixel_digests={
            name: pixel_sha256(picture(folder, name))
            for name in (pair.content, pair.style)
        },
        axes=axes,
        fixed=fixed,
    )
    return [Cell(PicturePair(each.content, each.style), each.settings) for each in made]


GROUPS = ("rated", "controls", *GRIDS)


def paint(options: argparse.Namespace) -> None:
    """Paint groups or single pictures, each as OUT/NAME.png with its story."""
    options.out.mkdir(parents=True, exist_ok=True)
    with Painter() as painter:
        weights = _weights(painter, options.weights)
        for name, cell in _chosen(options, weights).items():
            out = options.out / f"{name}.png"
            if is_painted(out):
                continue
            began, cpu = time.perf_counter(), time.process_time()
            painted = _painted(painter, name, cell, options)
            files = {"content": cell.pair.content, "style": cell.pair.style}
            write(out, cell.settings, painted, files)
            print(
                f"{name}: {painted.evaluations} evaluations, best "
                f"{painted.best_evaluation}, {time.perf_counter() - began:.0f} s, "
                f"{time.process_time() - cpu:.0f} s of processor",
                flush=True,
            )


def _chosen(options: argparse.Namespace, weights: str) -> dict[str, Cell]:
    chosen: dict[str, Cell] = {}
    for name in options.names:
        group = name if name in GROUPS else _group(name)
        planned = cells(group, options.images, weights)
        if name == group:
            chosen |= planned
        elif name in planned:
            chosen[name] = planned[name]
        else:
            raise SystemExit(f"{group} has {', '.join(planned)}; got {name}.")
    return chosen


def _group(name: str) -> str:
    """The group in which a picture of this name would be."""
    for group, begins in GRIDS.items():
        if name.startswith(begins):
            return group
    return "controls" if "-" in name else "rated"


def _painted(
    painter: Painter, name: str, cell: Cell, options: argparse.Namespace
) -> Painted:
    lowest = math.inf
    best: Image.Image | None = None

    def keep(progress: Progress) -> None:
        nonlocal lowest, best
        if progress.evaluations > max(cell.kept, default=0):
            return
        if progress.total < lowest:
            lowest, best = progress.total, progress.picture()
        if progress.evaluations in cell.kept and best:
            best.save(options.out / f"{name}-{progress.evaluations}.png")

    return painter.render(
        cell.settings,
        picture(options.images, cell.pair.content),
        picture(options.images, cell.pair.style),
        on_progress=keep,
    )


def _weights(painter: Painter, path: Path) -> str:
    """Give the painter the network's file; its name in settings."""
    spec, _, painter.states[spec] = open_file(path)
    return spec


# Comparing --------------------------------------------------------------------


@dataclass(frozen=True)
class Likeness:
    """How like a published picture another one is.

    `difference`: mean absolute difference in grey levels. `ssim`: Wang et al. 2004 on
    luma, Gaussian window of σ = 1.5. `content`: ‖F − F'‖ / ‖F'‖ at the content layer,
    F' being the published picture's features. `style`: the same of Gram matrices,
    averaged over the five style layers. 0, 1, 0 and 0 for the picture itself.
    """

    difference: float
    ssim: float
    content: float
    style: float


def likeness(
    judged: Image.Image,
    published: Image.Image,
    settings: RenderSettings,
    network: Network,
) -> Likeness:
    """Compare at the published picture's size, after a JPEG like its own."""
    from skimage.metrics import structural_similarity

    judged = as_saved(judged, published.size)
    one, other = (np.asarray(each, np.float64) for each in (judged, published))
    luma = [np.asarray(each.convert("L"), np.float64) for each in (judged, published)]
    contents, grams = _read(judged, settings, network)
    their_contents, their_grams = _read(published, settings, network)
    return Likeness(
        difference=float(np.abs(one - other).mean()),
        ssim=float(
            structural_similarity(
                *luma,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
        content=_apart(contents, their_contents),
        style=_apart(grams, their_grams),
    )


def as_saved(judged: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture as the published code saves one: a JPEG of that quality, decoded."""
    file = io.BytesIO()
    resized(judged, size, "lanczos").save(file, "JPEG", quality=QUALITY)
    return Image.open(file).convert("RGB")


def _read(
    shown: Image.Image, settings: RenderSettings, network: Network
) -> tuple[list[Tensor], list[Tensor]]:
    """Features of the content layers, and Gram matrices of the style layers."""
    objective = OBJECTIVES[settings.objective]
    contents = [layer for layer, _ in settings.content_layer]
    styles = [layer for layer, _ in settings.style_layers]
    with torch.no_grad():
        pixels = to_tensor(shown).to(network.term_dtype)
        read = network.features(pixels, {*contents, *styles}, objective.means)
        grams = [gram(read[layer], objective) for layer in styles]
    return [read[layer] for layer in contents], grams


def _apart(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """‖a − b‖ / ‖b‖, averaged over layers."""
    pairs = zip(some, others, strict=True)
    each = [((a - b).norm() / b.norm()).item() for a, b in pairs]
    return sum(each) / len(each)


@dataclass(frozen=True)
class Outcome:
    """What the objective says of a picture: `style` over the content photo's,
    `content` over the style picture's, and the weighted total."""

    style: float
    content: float
    total: float


def outcomes(
    shown: Sequence[Image.Image],
    cell: Cell,
    painter: Painter,
    folder: Path | None,
) -> list[Outcome]:
    """The outcomes of pictures under the objective that a cell was painted with."""
    settings = cell.settings
    content, style = (
        picture(folder, name) for name in (cell.pair.content, cell.pair.style)
    )
    network = painter.network(settings)
    targets, _ = painter.cell(settings, network, content, style, settings.size)
    problem = Problem([targets], network)
    side = settings.size, settings.size

    def terms(each: Image.Image) -> list[float]:
        pixels = to_tensor(resized(each, side, settings.resample))
        with torch.no_grad():
            return list(problem.terms(pixels.to(network.term_dtype))[0].tolist())

    photos, styles = terms(content)[2], terms(style)[1]
    rows = [terms(each) for each in shown]
    return [Outcome(row[2] / photos, row[1] / styles, row[0]) for row in rows]


def table(options: argparse.Namespace) -> None:
    """Print what was painted beside the published pictures, in numbers."""
    with Painter() as painter:
        weights = _weights(painter, options.weights)
        planned = cells("rated", options.images, weights)
        rated = {
            name: cell
            for name, cell in planned.items()
            if (options.out / _file(options.out, name)).is_file()
        }
        if missing := planned.keys() - rated.keys():
            print(f"Not painted yet: {', '.join(sorted(missing))}.")
        network = painter.network(planned["A"].settings)
        stories = [
            read_story(options.out / f"{letter}.png")
            for letter in rated
            if is_painted(options.out / f"{letter}.png")
        ]
        engines = {str(story["environment"]["engine"]) for story in stories}
        print(f"Painted by engine {', '.join(sorted(engines))}, compared by", end=" ")
        print(f"{ENGINE_VERSION}, weights {network.weights_sha256[:12]}…\n")
        _print_rated(rated, network, options)
        _print_crossed(rated, network, options)
        _print_controls(rated, network, options)
        _print_outcomes(rated, painter, options)


def _print_rated(
    rated: dict[str, Cell], network: Network, options: argparse.Namespace
) -> None:
    heads = "difference", "SSIM", "content distance", "Gram distance"
    print("| picture |", " | ".join(f"{head}: painted, photo" for head in heads), "|")
    print("| --- " * (1 + len(heads)) + "|")
    for letter, cell in rated.items():
        published = picture(options.images, PUBLISHED[letter])
        photo = resized(picture(options.images, cell.pair.content), published.size,
                        cell.settings.resample)  # fmt: skip
        one, other = (
            astuple(likeness(each, published, cell.settings, network))
            for each in (_there(options.out, letter), photo)
        )
        both = zip(one, other, strict=True)
        print(
            f"| {_named(options.out, letter)} |",
            " | ".join(f"{a:.3g}, {b:.3g}" for a, b in both),
            "|",
        )


def _print_crossed(
    rated: dict[str, Cell], network: Network, options: argparse.Namespace
) -> None:
    """Gram distances of every painted picture from every published one."""
    published = {
        letter: _read(picture(options.images, file), rated[letter].settings, network)[1]
        for letter, file in PUBLISHED.items()
        if letter in rated
    }
    print("\n| painted |", " | ".join(f"published {it}" for it in published), "|")
    print("| --- " * (1 + len(published)) + "|")
    for letter, cell in rated.items():
        saved = as_saved(_there(options.out, letter), (SIDE, SIDE))
        _, grams = _read(saved, cell.settings, network)
        apart = (_apart(grams, theirs) for theirs in published.values())
        print(f"| {letter} |", " | ".join(f"{value:.2g}" for value in apart), "|")


def _print_controls(
    rated: dict[str, Cell], network: Network, options: argparse.Namespace
) -> None:
    print(
        "\n| picture | judged | difference | SSIM | content distance | Gram distance |"
    )
    print("| --- " * 6 + "|")
    for letter in sorted(WRONG_STYLES.keys() & rated.keys()):
        cell = rated[letter]
        published = picture(options.images, PUBLISHED[letter])
        painted = {
            f"painted, {EVALUATIONS} evaluations": letter,
            f"painted, {FEWER} evaluations": f"{letter}-{FEWER}",
            f"from other noise, {FEWER} evaluations": f"{letter}-seed",
            f"in a wrong style, {FEWER} evaluations": f"{letter}-wrong",
        }
        shown = {
            "published, saved once more": published,
            **{
                what: _there(options.out, name)
                for what, name in painted.items()
                if (options.out / f"{name}.png").is_file()
            },
            "the style picture": resized(
                picture(options.images, cell.pair.style),
                published.size,
                cell.settings.resample,
            ),
        }
        for what, each in shown.items():
            like = astuple(likeness(each, published, cell.settings, network))
            said = " | ".join(f"{value:.3g}" for value in like)
            print(f"| {letter} | {what} | {said} |")


def _print_outcomes(
    rated: dict[str, Cell], painter: Painter, options: argparse.Namespace
) -> None:
    """s, c and the objective: painted, published, published and saved once more."""
    print("\n| picture | s | c | objective over the published one's |")
    print("| --- " * 4 + "|")
    for letter, cell in rated.items():
        published = picture(options.images, PUBLISHED[letter])
        shown = [
            as_saved(_there(options.out, letter), published.size),
            published,
            as_saved(published, published.size),
        ]
        found = outcomes(shown, cell, painter, options.images)
        columns = (
            [each.style for each in found],
            [each.content for each in found],
            [each.total / found[1].total for each in (found[0], found[2])],
        )
        said = " | ".join(", ".join(f"{it:.3g}" for it in each) for each in columns)
        print(f"| {letter} | {said} |")


def _file(out: Path, name: str) -> str:
    """The file of a picture; of a rated one that is half done, its first half."""
    whole, half = f"{name}.png", f"{name}-{FEWER}.png"
    return whole if (out / whole).is_file() or name not in PUBLISHED else half


def _named(out: Path, name: str) -> str:
    """A rated picture's letter, with its evaluations where it is not done yet."""
    return name if _file(out, name) == f"{name}.png" else f"{name}, {FEWER} evaluations"


def _there(out: Path, name: str) -> Image.Image:
    path = out / _file(out, name)
    if not path.is_file():
        raise SystemExit(f"{path} is not there: paint {name} first.")
    return Image.open(path).convert("RGB")


# Sheets -----------------------------------------------------------------------


def sheet(options: argparse.Namespace) -> None:
    """Lay a group out as one picture: rated, a grid, or balances, the part of
    figure-4.1 that README shows."""
    [group] = options.names
    if group == "rated":
        figure = _beside(options)
    elif group == "balances":
        figure = _balances(options)
    elif group in GRIDS:
        figure = _grid(group, options)
    else:
        known = ", ".join(("rated", "balances", *GRIDS))
        raise SystemExit(f"A sheet is of one of {known}; got {group}.")
    drawn = figure.draw()
    inked = ImageOps.invert(drawn.convert("L")).getbbox()
    drawn.crop(inked).save(options.out / f"{group}.jpg", quality=90, subsampling=0)


def _beside(options: argparse.Namespace) -> Figure:
    """A–G: content, style, the published picture, the painted one."""

    def row(letter: str, pair: PicturePair) -> Iterator[Shown]:
        for name in (pair.content, pair.style, PUBLISHED[letter]):
            found = picture(options.images, name)
            yield Shown(resized(found, (SIDE, SIDE), "lanczos").copy)
        yield Shown(_there(options.out, letter).copy)

    pairs = {letter: PRESETS[f"3{letter}"].pairs[0] for letter in PUBLISHED}
    panel = Panel(
        caption="",
        down="",
        across="",
        rows=list(pairs),
        columns=["content", "style", "published", "painted"],
        cells=[list(row(letter, pair)) for letter, pair in pairs.items()],
    )
    return Figure(title="Experiment 3", note="", panels=[panel], side=SIDE)


def _balances(options: argparse.Namespace) -> Figure:
    """The free photo, the drawn style, and three balances at conv3_1."""
    balances = BALANCES[1:4]
    pictures = [
        *(resized(FREE[name](), (SMALL, SMALL), "lanczos") for name in FREE),
        *(_there(options.out, f"free-conv3_1-{level:g}") for level in balances),
    ]
    panel = Panel(
        caption="",
        down="",
        across="",
        rows=[""],
        columns=["content", "style", *(f"balance {level:g}" for level in balances)],
        cells=[[Shown(each.copy) for each in pictures]],
    )
    return Figure(title="", note="", panels=[panel], side=SMALL)


def _grid(group: str, options: argparse.Namespace) -> Figure:
    """Experiment 1's grid, as Figure 4.1 has it."""
    free = group == "figure-4.1"
    levels = BALANCES if free else PRESETS["1"].axes["alpha_beta"]
    rows = [
        [
            Shown(_there(options.out, f"{GRIDS[group]}{layer}-{level:g}").copy)
            for level in levels
        ]
        for layer in PAPER_STYLE_LAYERS
    ]
    across = "balance" if free else "α/β"
    panel = Panel(
        caption="",
        down="content layer",
        across=across,
        rows=PAPER_STYLE_LAYERS,
        columns=[f"{level:g}" for level in levels],
        cells=rows,
    )
    [pair] = [FREE_PAIR] if free else PRESETS["1"].pairs
    objective = RenderSettings.objective if free else "notebook"
    note = (
        f"{pair.content} × {pair.style} · objective {objective} · {SMALL} px · "
        f"{SMALL_EVALUATIONS} evaluations"
    )
    title = f"Content layer × {across}"
    return Figure(title=title, note=note, panels=[panel], side=SMALL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for command in (paint, table, sheet):
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.set_defaults(command=command)
        sub.add_argument("--images", type=Path, metavar="DIR")
        sub.add_argument("--out", type=Path, required=True, metavar="OUT")
        if command is not sheet:
            sub.add_argument("--weights", type=Path, required=True, metavar="FILE")
            sub.add_argument("--threads", type=int, default=1)
        if command is not table:
            names = f"{', '.join(GROUPS)}, or a picture's name"
            sub.add_argument("names", nargs="+", metavar="NAME", help=names)
    options = parser.parse_args()
    torch.set_num_threads(getattr(options, "threads", 1))
    options.command(options)


if __name__ == "__main__":
    main()
