"""The engine on the command line: `python -m generation.engine --help`."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from generation.engine.errors import EngineError, ImageRefused, SettingsError
from generation.engine.factors import FACTORS, column_values, setting_names
from generation.engine.methods.gatys.objectives import (
    AS_PUBLISHED,
    CAFFE_VGG19,
    OBJECTIVES,
)
from generation.engine.networks.weights import INPUTS, expects
from generation.engine.pictures.files import MIN_SIDE, open_picture, pixel_sha256
from generation.engine.settings import (
    LAYERS,
    STARTS,
    Layers,
    RenderSettings,
    request_digest,
)
from nstlab.core import old_names
from nstlab.core.old_names import renamed

if TYPE_CHECKING:
    from generation.engine.painter import Painter
    from generation.engine.request import Painted, Progress, Request

DESCRIPTION = """\
Neural style transfer by named conventions, reproducible to the bit on a CPU.

  render    paint one picture
  grid      paint every combination of a specification
  losses    evaluate an objective on a finished picture
  rerender  paint a picture again from what it carries, and compare

Every number that decides a picture is a setting; the ratio alpha/beta alone decides
none, so both are settings. Budgets count evaluations of the objective and its gradient.
"""

EXAMPLES = {
    "render": """\
examples:
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --alpha 0.01 --tv-weight 1 --weights imagenet
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --alpha 0.01 --objective notebook --as-published
  without trained weights (colour and texture move, little more):
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --alpha 1e-4 --weights random:0 --pooling average \\
      --start content --size 128 --evaluations 100
""",
    "grid": """\
spec.json, with paths relative to it; every factor is a setting and its levels:
  {"pairs": [["cat.jpg", "wave.jpg"]],
   "settings": {"weights": "imagenet", "size": 300},
   "factors": {"alpha": [0.001, 0.01, 0.1],
               "content_layer": ["conv1_1", "conv3_1"]}}
"contents" and "styles" instead of "pairs" are crossed. weights and start may be paths
too. DIR gets a PNG and a JSON per render and grid.csv; what is there already, whole and
with its story, is not painted again. A cell that fails does not stop the others.
""",
    "losses": """\
prints one JSON object: content and style give each layer's value as the objective
defines it, before alpha, beta and w_l, which may be 0; tv is before its weight, null
where the objective has none, as is every value that is not finite. Computed in float64
unless --precision says otherwise.
""",
    "rerender": """\
The source pictures are looked for where they lay, seen from here and from the
picture's folder, unless --content, --style and --start name them.
""",
}

# What the paper mostly takes beside a beta of 1, under its own objective.
ALPHA = 0.01
SPEC = ("pairs", "contents", "styles", "settings", "factors")
MOST_THREADS = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 when the engine refused, 1 when pixels differ."""
    options = _parser().parse_args(arguments)
    try:
        _check_files(options)
        if options.threads is not None:
            import torch

            if not 1 <= options.threads <= MOST_THREADS:
                raise SettingsError(
                    "threads",
                    f"--threads must be between 1 and {MOST_THREADS}; "
                    f"got {options.threads}.",
                )
            torch.set_num_threads(options.threads)
        result: int = options.run(options)
        return result
    except (EngineError, OSError) as refusal:
        print(f"{options.command}: {refusal}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m generation.engine",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, usage: str
    ) -> Any:
        added = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=EXAMPLES[name],
            usage=f"python -m generation.engine {name} {usage} [options]",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        added.add_argument("--device", help="cpu, cuda, cuda:1, …; a GPU if there is")
        added.add_argument("--threads", type=int, help="CPU threads")
        return added

    render = command(
        "render",
        _render,
        "Paint one picture.",
        "--content C --style S --out PNG",
    )
    _add_pictures(render, required=True)
    render.add_argument("--out", type=Path, required=True, metavar="PNG")
    render.add_argument("--last", type=Path, metavar="PNG", help="the last iterate too")
    render.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="go on from here if it is there"
    )
    render.add_argument("--checkpoint-seconds", type=float, default=60, metavar="S")
    _add_settings(
        render,
        alpha=f"{ALPHA:g}: the paper's most frequent, for its own objective; the "
        "other objectives want others",
    )

    grid = command(
        "grid",
        _grid,
        "Paint every combination of a specification.",
        "SPEC --out DIR",
    )
    grid.add_argument("spec", type=Path)
    grid.add_argument("--out", type=Path, required=True, metavar="DIR")
    grid.add_argument("--weights", help="for settings that name none")
    _add_weights_input(grid)

    losses = command(
        "losses",
        _losses,
        "Evaluate an objective on a finished picture.",
        "--content C --style S --image G",
    )
    _add_pictures(losses, required=True)
    losses.add_argument("--image", type=Path, required=True, help="the picture judged")
    losses.add_argument("--json", action="store_true", help="on one line")
    _add_settings(losses, alpha="1")

    rerender = command(
        "rerender", _rerender, "Paint a picture again and compare.", "PICTURE"
    )
    rerender.add_argument("picture", type=Path)
    _add_pictures(rerender, required=False)
    rerender.add_argument("--start", type=Path, help="the picture it started from")
    rerender.add_argument("--weights", help="the weights file, if it was one")
    rerender.add_argument("--out", type=Path, metavar="PNG")
    return parser


def _add_pictures(parser: argparse.ArgumentParser, *, required: bool) -> None:
    for role in ("content", "style"):
        parser.add_argument(
            f"--{role}", type=Path, required=required, metavar="PICTURE"
        )


def _add_weights_input(parser: Any) -> None:
    parser.add_argument(
        "--weights-input",
        choices=INPUTS,
        help="what a weights file expects: IMAGENET1K_FEATURES's input, torchvision's "
        "usual one, or blue, green, red in 0-255 minus Caffe's means [features, but "
        "what a published file is known to expect]",
    )


def _add_settings(parser: argparse.ArgumentParser, *, alpha: str) -> None:
    group = parser.add_argument_group("settings")
    for name in setting_names():
        factor = FACTORS[name]
        flag = "--" + name.replace("_", "-")
        flags = [flag.rstrip("s") + "s", flag.rstrip("s")] if name in LAYERS else [flag]
        default = alpha if name == "alpha" else factor.default
        group.add_argument(
            *flags,
            dest=name,
            type=factor.values,
            choices=factor.closed_choices,
            # Asked for twice, layers are asked for together.
            action="append" if name in LAYERS else "store",
            help=factor.help
            if default is None
            else f"{factor.help} [{_shown(default)}]",
        )
    _add_weights_input(group)
    group.add_argument(
        "--as-published",
        action="store_true",
        help="take settings left out from the objective's source where it fixes them",
    )


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{layer}={weight:g}" for layer, weight in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def layers(text: str, objective: str, field: str) -> Layers:
    """`conv1_1=0.3,conv2_1` as layers; without weights they get the objective's.
    `field` names them in a refusal."""
    names = [part for part in text.replace("|", ",").split(",") if part != "none"]
    share = OBJECTIVES[objective].layer_weight(len(names)) if names else 0.0
    pairs = []
    for part in names:
        name, _, weight = part.strip().partition("=")
        try:
            pairs.append((name, float(weight) if weight else share))
        except ValueError:
            raise SettingsError(
                field, f"{field}: {part!r} is not LAYER or LAYER=WEIGHT."
            ) from None
    return tuple(pairs)


def _settings(options: argparse.Namespace, **defaults: Any) -> RenderSettings:
    """Settings from options, then defaults; `--weights` and `--start` may be files."""
    given = {name: getattr(options, name) for name in setting_names()}
    values = {name: value for name, value in given.items() if value is not None}
    objective = values.get("objective", "paper")
    if options.as_published:
        if objective not in AS_PUBLISHED:
            raise SettingsError(
                "objective",
                f"--as-published knows no settings of {objective}: "
                f"--objective must be one of {', '.join(AS_PUBLISHED)} with it.",
            )
        defaults |= AS_PUBLISHED[objective]
        weights = values.get("weights", "")
        fits = weights.startswith("file:") and not weights.endswith(":v1")
        fits = fits and values.get("network") == "vgg19"
        if defaults.get("network") == "vgg19" and not fits:
            raise SettingsError(
                "weights",
                f"--as-published needs --weights FILE for {objective}, whose source "
                f"ran a VGG-19 of Caffe's scale: {CAFFE_VGG19}, with --weights-input "
                "caffe-bgr.",
            )
    for name, mix in _mixes(objective).items():
        if name in values:
            values[name] = layers(",".join(values[name]), mix, name)
    settings = RenderSettings.from_dict(defaults | values)
    told = options.weights_input not in (None, "features")
    if told and not settings.weights.startswith("file:"):
        raise SettingsError(
            "weights",
            f"--weights-input is for a weights file; {settings.weights} is none.",
        )
    return settings


def _mixes(objective: str) -> dict[str, str]:
    """Whose weights layers without weights get: each content layer counts once."""
    return {"content_layer": "johnson", "style_layers": objective}


def _painter(options: argparse.Namespace) -> Painter:
    """A painter on the device asked for. A path in `--weights` is read, and replaced
    by the name of the file that lies there."""
    from generation.engine.painter import Painter

    painter = Painter(device=_device(options.device))
    if options.weights and _is_path(options.weights):
        spec, network = _read_weights(painter, Path(options.weights), options)
        _check_network(getattr(options, "network", None), network, options.weights)
        options.weights, options.network = spec, network
    return painter


def _device(named: str | None) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if named is None:
        return "cuda" if count else "cpu"
    here = ["cpu", *["cuda"][:count], *(f"cuda:{index}" for index in range(count))]
    if named not in here:
        raise SettingsError(
            "device",
            f"--device must be one of {', '.join(here)} on this machine; "
            f"got {named!r}.",
        )
    return named


def _is_path(weights: str) -> bool:
    return weights.split(":")[0] not in ("imagenet", "imagenet-v1", "random", "file")


def _read_weights(
    painter: Painter, path: Path, options: argparse.Namespace
) -> tuple[str, str]:
    """Give the painter a file's weights; their name and their network."""
    from generation.engine.networks.weights import named_with_input, open_file

    spec, network, state = open_file(path)
    if options.weights_input is None:
        spec, sentence = named_with_input(spec)
        if sentence:
            print(f"weights {path.name}: {sentence}", file=sys.stderr)
    elif options.weights_input != "features":
        spec += f":{options.weights_input}"
    painter.states[spec] = state
    return spec, network


def _check_network(asked: str | None, held: str, weights: str) -> None:
    if asked not in (None, held):
        raise SettingsError(
            "network", f"network must be {held}: {weights} holds the weights of one."
        )


def _opened(path: Path, role: str, *, min_side: int = MIN_SIDE) -> Image.Image:
    try:
        opened = open_picture(path, min_side=min_side)
    except ImageRefused as refusal:
        raise ImageRefused(f"{role} {path}: {refusal}") from None
    for note in opened.notes:
        print(f"{role} {path.name}: {note}", file=sys.stderr)
    return opened.image


def _check_files(options: argparse.Namespace) -> None:
    """Refuse before painting what could not be written after it."""
    asked = {
        name: path
        for name in ("out", "last", "checkpoint")
        if isinstance(path := getattr(options, name, None), Path)
    }
    read = {
        Path(path).resolve()
        for name in ("content", "style", "picture", "start", "weights")
        if (path := getattr(options, name, None))
    }
    for name, path in asked.items():
        is_folder = (options.command, name) == ("grid", "out")
        if path.exists() and path.is_dir() != is_folder:
            kind = "folder" if is_folder else "file"
            raise SettingsError(name, f"--{name} must name a {kind}; {path} is none.")
        if any(above.exists() and not above.is_dir() for above in path.parents):
            raise SettingsError(name, f"--{name}: {path.parent} is no folder.")
        if name == "checkpoint" and not path.parent.is_dir():
            raise SettingsError(name, f"--{name}: there is no folder {path.parent}.")
        if path.resolve() in read:
            raise SettingsError(name, f"--{name} would overwrite {path}.")
        is_png = path.suffix.lower() == ".png"
        if name == "checkpoint" and (is_png or path.suffix.lower() == ".json"):
            raise SettingsError(name, f"--{name} is no picture: {path} names one.")
        if name == "checkpoint" or is_folder:
            continue
        if not is_png:
            raise SettingsError(name, f"--{name} must end in .png; got {path}.")
        beside = path.with_suffix(".json")
        if beside.exists() and not _is_story(beside):
            raise SettingsError(
                name,
                f"--{name} would overwrite {beside}, where the picture's story is "
                "written: it is something else.",
            )
    if {"out", "last"} <= set(asked):
        out, last = (asked[name].with_suffix("").resolve() for name in ("out", "last"))
        if out == last:
            raise SettingsError("last", "--last must have another name than --out.")


def _is_story(path: Path) -> bool:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and "pixel_sha256" in told


def _render(options: argparse.Namespace) -> int:
    seconds = options.checkpoint_seconds
    if not 0 <= seconds < math.inf:
        raise SettingsError(
            "checkpoint_seconds",
            "--checkpoint-seconds must be a finite number of 0 or more; "
            f"got {seconds:g}.",
        )
    painter = _painter(options)
    start_picture = None
    files = {"content": str(options.content), "style": str(options.style)}
    if options.start and _is_picture(options.start):
        files["start"] = options.start
        start_picture, options.start = _start_picture(Path(options.start))
    settings = _settings(options, alpha=ALPHA)
    content = _opened(options.content, "content")
    style = _opened(options.style, "style")
    with _Bar() as bar:
        painted = painter.render(
            settings,
            content,
            style,
            start_picture=start_picture,
            checkpoint=options.checkpoint,
            checkpoint_seconds=seconds,
            on_progress=bar,
        )
    _write(options.out, settings, painted, files)
    if options.last:
        _write(options.last, settings, painted, files, iterate="last")
    if options.checkpoint:
        options.checkpoint.unlink(missing_ok=True)
    for note in painted.notes:
        print(note, file=sys.stderr)
    return 0


def _is_picture(start: str) -> bool:
    """Whether a start is a picture's path."""
    return start not in STARTS and not start.startswith("picture:")


def _start_picture(path: Path) -> tuple[Image.Image, str]:
    """The picture that a render starts from, and the start that names it."""
    try:
        picture = _opened(path, "start")
    except ImageRefused as refusal:
        names = ", ".join(STARTS[:-1])
        raise ImageRefused(f"{refusal} start is {names} or a picture.") from None
    return picture, f"picture:{pixel_sha256(picture)}"


def _write(
    out: Path,
    settings: RenderSettings,
    painted: Painted,
    files: Mapping[str, str],
    *,
    iterate: Literal["best", "last"] = "best",
) -> None:
    """The picture with its story inside, and before it the story beside it, so that
    where a picture is, everything is."""
    from generation.engine.provenance import signed_png, story

    told = {**story(settings, painted, iterate), "files": dict(files)}
    picture = painted.last if iterate == "last" else painted.image
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out.with_suffix(".json"), (json.dumps(told, indent=1) + "\n").encode())
    _replace(out, signed_png(picture, told))


def _replace(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


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


def _grid(options: argparse.Namespace) -> int:
    from generation.engine.request import Request

    painter = _painter(options)
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
    pictures = {path: _opened(path, "content") for path in contents}
    pictures |= {
        path: _opened(path, "style") for path in styles if path not in contents
    }
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
    todo = [(path, cell) for path, cell in outs.items() if not _is_painted(path)]
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
    with _Bar() as bar:
        for index, result in _results(painter, dict(enumerate(requests)), bar):
            path, cell = todo[index]
            try:
                if isinstance(result, Exception):
                    raise result
                _write(path, cell.settings, result, cell.files)
            except Exception as error:  # the others are painted nevertheless
                failed += 1
                reason = str(error) or type(error).__name__
                print(f"{path.name} failed: {reason}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(todo)} cells failed.", file=sys.stderr)
    return 2 if failed else 0


def _results(
    painter: Painter, requests: dict[int, Request], bar: _Bar
) -> Iterator[tuple[int, Painted | Exception]]:
    """Each request's result or what broke it; what breaks a wave is repeated in
    smaller ones, down to one request."""
    left = dict(requests)
    keys = list(requests)
    total = max(keys, default=0) + 1
    try:
        for at, result in painter.render_many(
            list(requests.values()),
            on_progress=lambda at, step: bar(step, f"{keys[at] + 1}/{total} "),
        ):
            del left[keys[at]]
            yield keys[at], result
        return
    except Exception as error:  # memory ran out, or a fault of the engine
        broke = error
    if len(left) == 1:
        yield next(iter(left)), broke
        return
    # One by one, it was the first of those left that broke.
    cut = 1 if painter.together == 1 else len(left) // 2
    parts = list(left.items())
    yield from _results(painter, dict(parts[:cut]), bar)
    yield from _results(painter, dict(parts[cut:]), bar)


def _is_painted(out: Path) -> bool:
    """Whether a picture is there whole and tells its story."""
    from generation.engine.provenance import read_story

    try:
        told = read_story(out)
    except ImageRefused:
        return False
    with Image.open(out) as picture:
        return bool(told.get("pixel_sha256") == pixel_sha256(picture))


def _write_table(path: Path, outs: Mapping[Path, _Cell], folder: Path) -> None:
    """grid.csv: the usual columns, and every other setting in which cells differ."""
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
    varied = [
        name for name in rows[0][1] if len({others[name] for _, others in rows}) > 1
    ]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*rows[0][0], *varied])
        for usual, others in rows:
            table.writerow([*usual.values(), *(others[name] for name in varied)])


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
            _check_network(base.get("network"), held, "--weights")
            base["network"] = held
    folder = options.spec.parent
    files: dict[str, tuple[str, str]] = {}
    starts: dict[str, tuple[Image.Image, str]] = {}
    for content, style in list(pairs):
        for levels in itertools.product(*factors.values()):
            values = base | dict(zip(factors, levels, strict=True))
            weights, start = values.get("weights"), values.get("start")
            if isinstance(weights, str) and _is_path(weights):
                if weights not in files:
                    files[weights] = _read_weights(painter, folder / weights, options)
                spec_of_it, network = files[weights]
                _check_network(values.get("network"), network, weights)
                values |= {"weights": spec_of_it, "network": network}
            picture, start_file = None, None
            if isinstance(start, str) and _is_picture(start):
                start_file = folder / start
                if start not in starts:
                    starts[start] = _start_picture(start_file)
                picture, values["start"] = starts[start]
            objective = values.get("objective", "paper")
            for name, mix in _mixes(objective).items():
                if isinstance(values.get(name), str):
                    values[name] = layers(values[name], mix, name)
            yield _Cell(
                content=folder / content,
                style=folder / style,
                settings=RenderSettings.from_dict(values),
                start=picture,
                start_file=start_file,
            )
    told = options.weights_input not in (None, "features")
    if told and not (files or options.weights):
        raise SettingsError(
            "weights",
            f"--weights-input is for a weights file; {options.spec} has none.",
        )


def _losses(options: argparse.Namespace) -> int:
    import torch

    from generation.engine.methods.gatys.problem import Problem
    from generation.engine.pictures.canvas import grey, prepared, resized, to_tensor

    painter = _painter(options)
    settings = _settings(options, alpha=1.0, precision="float64")
    # A weight of 0 would leave the layers out that are to be told.
    every = replace(
        settings,
        alpha=settings.alpha or float(bool(settings.content_layer)),
        beta=settings.beta or float(bool(settings.style_layers)),
    )
    network = painter.network(every)
    content, style = prepared(
        settings, _opened(options.content, "content"), _opened(options.style, "style")
    )
    cell, seen = painter.cell(every, network, content, style, settings.size)
    size = seen.shape[3], seen.shape[2]
    judged = _opened(options.image, "image", min_side=1)  # whatever is painted
    if settings.colour == "luminance":  # its colours are not painted
        judged = grey(judged)
    if judged.size != size:
        print(
            "image {}: resampled from {} × {} to {} × {} pixels.".format(
                options.image.name, *judged.size, *size
            ),
            file=sys.stderr,
        )
    fitting = resized(judged, size, settings.resample)
    pixels = to_tensor(fitting).to(network.device, network.term_dtype)
    problem = Problem([cell], network)
    with torch.no_grad():
        by_content, by_style = problem.layer_losses(pixels)
        terms = problem.terms(pixels)[0, 1:].tolist()
    weights = (settings.alpha, settings.beta, settings.tv_weight)
    weighed = zip(weights, terms, strict=True)
    has_tv = OBJECTIVES[settings.objective].tv is not None
    printed = {
        "objective": settings.objective,
        "alpha": settings.alpha,
        "beta": settings.beta,
        "tv_weight": settings.tv_weight,
        "content": {name: _finite(value.item()) for name, value in by_content.items()},
        "style": {name: _finite(value.item()) for name, value in by_style.items()},
        "tv": _finite(terms[2]) if has_tv else None,
        "total": _finite(sum(weight * term for weight, term in weighed if weight)),
        "content_layer": dict(settings.content_layer),
        "style_layers": dict(settings.style_layers),
        "weights_sha256": network.weights_sha256,
    }
    print(json.dumps(printed, indent=None if options.json else 1, allow_nan=False))
    return 0


def _finite(value: float) -> float | None:
    """A value as JSON can tell it."""
    return value if math.isfinite(value) else None


def _rerender(options: argparse.Namespace) -> int:
    from generation.engine.environment import differences
    from generation.engine.provenance import read_story

    told = read_story(options.picture)
    settings = RenderSettings.from_dict(told["settings"])
    options.weights_input = expects(settings.weights)
    painter = _painter(options)
    painter.network(settings)
    pictures, files = {}, {}
    wanted = {role: told["digests"][role] for role in ("content", "style")}
    if settings.start not in STARTS:
        wanted["start"] = settings.start.removeprefix("picture:")
    for role, sha256 in wanted.items():
        path = getattr(options, role) or _found(told, role, options.picture.parent)
        pictures[role], files[role] = _opened(path, role), str(path)
        if pixel_sha256(pictures[role]) != sha256:
            raise SettingsError(
                role, f"{path} is not the {role} picture this was painted from."
            )
    with _Bar() as bar:
        painted = painter.render(
            settings,
            pictures["content"],
            pictures["style"],
            start_picture=pictures.get("start"),
            on_progress=bar,
        )
    iterate = told.get("iterate", "best")
    if options.out:
        _write(options.out, settings, painted, files, iterate=iterate)
    picture = painted.last if iterate == "last" else painted.image
    if pixel_sha256(picture) == told["pixel_sha256"]:
        print("The pixels match.")
        return 0
    then = told["environment"] | {"weights": told["digests"]["weights"]}
    now = painted.environment | {"weights": painted.digests["weights"]}
    print("The pixels differ.")
    for difference in differences(then, now) or ["the environment does not differ"]:
        print(f"  {difference}")
    return 1


def _found(told: dict[str, Any], role: str, folder: Path) -> Path:
    name = Path(told.get("files", {}).get(role, ""))
    for path in (name, folder / name, folder / name.name):
        if path.is_file():
            return path
    called = f"{role} picture {name.name}".rstrip()
    raise SettingsError(role, f"The {called} is not here: name it by --{role}.")


class _Bar:
    """A progress bar on the terminal; nothing where standard error is none."""

    def __init__(self) -> None:
        self.shown = 0.0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print(file=sys.stderr)

    def __call__(self, step: Progress, label: str = "") -> None:
        now = time.monotonic()
        last = step.evaluations == step.budget
        if not sys.stderr.isatty() or (now - self.shown < 0.1 and not last):
            return
        self.shown = now
        done = round(30 * step.evaluations / step.budget)
        print(
            f"\r{label}[{'#' * done}{'.' * (30 - done)}] "
            f"{step.evaluations}/{step.budget} loss {step.total:.4g} "
            f"{step.seconds:.0f} s ",
            end="",
            file=sys.stderr,
        )
