"""`grid`: paint every combination of a specification."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from generation.engine.cli.bar import Bar
from generation.engine.cli.files import (
    is_painted,
    is_picture,
    opened,
    read_start,
    write,
)
from generation.engine.cli.options import (
    add_weights_input,
    check_network,
    is_path,
    layer_weight,
    painter_of,
    read_weights,
)
from generation.engine.errors import EngineError, SettingsError
from generation.engine.factors import FACTORS, column_values
from generation.engine.grid import combinations, read_layers
from generation.engine.judged import warning
from generation.engine.pictures.files import pixel_sha256
from generation.engine.settings import RenderSettings, request_digest
from nstlab.core import old_names
from nstlab.core.old_names import renamed

if TYPE_CHECKING:
    from generation.engine.painter import Painter
    from generation.engine.request import Painted

TEXT = "Paint every combination of a specification."
USAGE = "SPEC --out DIR"
EXAMPLES = """\
spec.json, with paths relative to it; every factor is a setting and its levels:
  {"pairs": [["cat.jpg", "wave.jpg"]],
   "settings": {"weights": "imagenet", "size": 300},
   "factors": {"balance": [0.03, 0.1, 0.3],
               "content_layer": ["conv1_1", "conv3_1"]}}
"contents" and "styles" instead of "pairs" are crossed. weights and start may be paths
too. DIR gets a PNG and a JSON per render and grid.csv; what is there already, whole and
with its story, is not painted again. A cell that fails does not stop the others.
"""

SPEC = ("pairs", "contents", "styles", "settings", "factors")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--weights", help="for settings that name none")
    add_weights_input(parser)


@dataclass(frozen=True)
class _Cell:
    """One render of a grid; the last two belong to a start that is a picture."""

    content: Path
    style: Path
    settings: RenderSettings
    start: Image.Image | None
    start_file: Path | None

    @property
    def files(self) -> dict[str, str]:
        """Where its pictures lay, by role."""
        paths = {"content": self.content, "style": self.style, "start": self.start_file}
        return {role: str(path) for role, path in paths.items() if path}


def run(options: argparse.Namespace) -> int:
    from generation.engine.request import Request
    from generation.engine.waves import paint_in_waves

    painter = painter_of(options)
    try:
        cells = list(_cells(_spec(options.spec), options, painter))
    except EngineError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise SettingsError("spec", f"{options.spec} is no grid: {error}.") from error
    if not cells:
        raise SettingsError("spec", f"{options.spec} has no cells.")
    contents = dict.fromkeys(cell.content for cell in cells)
    styles = dict.fromkeys(cell.style for cell in cells)
    pictures = {path: opened(path, "content") for path in contents}
    pictures |= {path: opened(path, "style") for path in styles if path not in contents}
    names = {path: pixel_sha256(picture) for path, picture in pictures.items()}

    def out(cell: _Cell) -> Path:
        digest = request_digest(
            cell.settings,
            content_sha256=names[cell.content],
            style_sha256=names[cell.style],
        )
        return options.out / f"{digest[:16]}.png"

    outs = {out(cell): cell for cell in cells}
    options.out.mkdir(parents=True, exist_ok=True)
    _write_table(options.out / "grid.csv", outs, options.spec.parent)
    todo = [(path, cell) for path, cell in outs.items() if not is_painted(path)]
    requests = [
        Request(
            settings=cell.settings,
            content=pictures[cell.content],
            style=pictures[cell.style],
            start_picture=cell.start,
        )
        for _, cell in todo
    ]
    failed = 0

    def settle(index: int, result: Painted | Exception) -> None:
        nonlocal failed
        path, cell = todo[index]
        try:
            if isinstance(result, Exception):
                raise result
            write(path, cell.settings, result, cell.files)
            if off := warning(cell.settings, result.losses):
                print(f"{path.name}: {off}", file=sys.stderr)
        except Exception as error:  # the others are painted nevertheless
            failed += 1
            reason = str(error) or type(error).__name__
            print(f"{path.name} failed: {reason}", file=sys.stderr)

    def paint(wave: Sequence[int]) -> Iterator[int]:
        for at, result in painter.render_many(
            [requests[index] for index in wave],
            on_progress=lambda at, step: bar(step, f"{wave[at] + 1}/{len(todo)} "),
        ):
            settle(wave[at], result)
            yield wave[at]

    with Bar() as bar:
        paint_in_waves(
            painter,
            range(len(todo)),
            paint,
            lambda index, error, _: settle(index, error),
        )
    if failed:
        print(f"{failed} of {len(todo)} cells failed.", file=sys.stderr)
    return 2 if failed else 0


def _write_table(path: Path, outs: Mapping[Path, _Cell], folder: Path) -> None:
    """grid.csv: the usual columns, and every other setting in which cells differ.

    Where a balance is set, `alpha` is empty: what it comes to is in the stories.
    """
    rows = []
    for out, cell in outs.items():
        settings = cell.settings
        usual = column_values(settings)
        others = {
            name: value
            for name, value in settings.to_dict().items()
            if name not in usual
        }
        for name, pairs in (
            ("content", settings.content_layer),
            ("style", settings.style_layers),
        ):
            others[f"{name}_weights"] = "|".join(f"{weight:g}" for _, weight in pairs)
        named: dict[str, str | float | int] = {"picture": out.name}
        for role in ("content", "style"):
            source = getattr(cell, role)
            inside = source.is_relative_to(folder)
            named[role] = str(source.relative_to(folder) if inside else source)
        rows.append((named | usual, others))
    told = {name for usual, _ in rows for name in usual}
    if "balance" in told:
        told.add("alpha")
    columns = [name for name in ("picture", *FACTORS) if name in told]
    varied = [
        name for name in rows[0][1] if len({others[name] for _, others in rows}) > 1
    ]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*columns, *varied])
        for usual, others in rows:
            cells = [usual.get(name, "") for name in columns]
            table.writerow([*cells, *(others[name] for name in varied)])


def _spec(path: Path) -> dict[str, Any]:
    """A grid's specification, with nothing in it that means nothing."""
    spec = json.loads(path.read_text())
    if not isinstance(spec, dict):
        raise SettingsError("spec", f"{path} is no grid: it must be a JSON object.")
    if unknown := [name for name in spec if name not in SPEC]:
        raise SettingsError(
            "spec",
            f"{path} has {', '.join(unknown)}, which no grid knows: it is made of "
            f"{', '.join(SPEC)}.",
        )
    if ("pairs" in spec) == bool({"contents", "styles"} & set(spec)):
        raise SettingsError(
            "spec", f"{path} must have either pairs, or contents and styles."
        )
    for name in ("pairs", "contents", "styles"):
        if not isinstance(spec.get(name, []), list):
            raise SettingsError("spec", f"{path}: {name} must be a list.")
    for part in {"settings", "factors"} & set(spec):
        if isinstance(spec[part], dict):
            spec[part] = renamed(spec[part], old_names.SETTINGS)
    for name, levels in spec.get("factors", {}).items():
        if not isinstance(levels, list) or not levels:
            raise SettingsError(
                "spec", f"{path}: the factor {name} must be a list of its levels."
            )
    return spec


def _cells(
    spec: dict[str, Any], options: argparse.Namespace, painter: Painter
) -> Iterator[_Cell]:
    pairs = spec.get("pairs") or itertools.product(
        spec.get("contents", []), spec.get("styles", [])
    )
    settings, factors = spec.get("settings", {}), spec.get("factors", {})
    base = dict(settings)
    if options.weights and "weights" not in {*settings, *factors}:
        base = {"weights": options.weights} | base
        if held := getattr(options, "network", None):
            check_network(base.get("network"), held, "--weights")
            base["network"] = held
    folder = options.spec.parent
    files: dict[str, tuple[str, str]] = {}
    starts: dict[str, tuple[Image.Image, str]] = {}
    for content, style in list(pairs):
        for values in combinations(factors, base):
            weights, start = values.get("weights"), values.get("start")
            if isinstance(weights, str) and is_path(weights):
                if weights not in files:
                    files[weights] = read_weights(painter, folder / weights, options)
                spec_of_it, network = files[weights]
                check_network(values.get("network"), network, weights)
                values |= {"weights": spec_of_it, "network": network}
            picture, start_file = None, None
            if isinstance(start, str) and is_picture(start):
                start_file = folder / start
                if start not in starts:
                    starts[start] = read_start(start_file)
                picture, values["start"] = starts[start]
            yield _Cell(
                content=folder / content,
                style=folder / style,
                settings=RenderSettings.from_dict(read_layers(values, layer_weight)),
                start=picture,
                start_file=start_file,
            )
    told = options.weights_input not in (None, "features")
    if told and not (files or options.weights):
        raise SettingsError(
            "weights",
            f"--weights-input is for a weights file; {options.spec} has none.",
        )
