"""The engine on the command line: `python -m generation.engine --help`."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.engine.errors import EngineError, SettingsError
from generation.engine.images import open_picture, pixel_sha256
from generation.engine.objectives import AS_PUBLISHED, OBJECTIVES
from generation.engine.settings import (
    COLOURS,
    FITS,
    NETWORK_LAYERS,
    OPTIMISERS,
    POOLINGS,
    PRECISIONS,
    RESAMPLES,
    Layers,
    RenderSettings,
    request_digest,
)

if TYPE_CHECKING:
    from PIL import Image

    from generation.engine.render import Painted, Painter, Progress

DESCRIPTION = """\
Neural style transfer by named conventions, reproducible to the bit on one machine.

  render    paint one picture
  grid      paint every combination of a specification
  losses    evaluate an objective on a finished picture
  rerender  paint a picture again from what it carries, and compare

Every number that decides a picture is a setting; the ratio alpha/beta alone decides
none, so both are given. Budgets count evaluations of the objective and its gradient.
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
               "content_layers": ["conv1_1", "conv3_1"]}}
"contents" and "styles" instead of "pairs" are crossed. DIR gets a PNG and a JSON per
render and grid.csv; what is there already is not painted again.
""",
    "losses": """\
prints one JSON object: content and style give each layer's value as the objective
defines it, before alpha, beta and w_l; tv is before its weight. Computed in float64
unless --precision says otherwise.
""",
    "rerender": """\
The source pictures are looked for where they lay, seen from here and from the
picture's folder, unless --content and --style name them.
""",
}

_CHOICES = {
    "network": tuple(NETWORK_LAYERS),
    "pooling": POOLINGS,
    "objective": tuple(OBJECTIVES),
    "fit": FITS,
    "resample": RESAMPLES,
    "optimiser": OPTIMISERS,
    "precision": PRECISIONS,
    "colour": COLOURS,
}
_HELP = {
    "network": "the convolutional network",
    "weights": "imagenet, imagenet-v1, random:SEED, or a file with a VGG state dict",
    "pooling": "how blocks are joined",
    "content_layers": "LAYER[=WEIGHT],… read after the ReLU, LAYER:pre before it",
    "style_layers": "the same for style; left out: the paper's five, the objective's "
    "weights; none: no layers",
    "alpha": "weight of content",
    "beta": "weight of style",
    "tv_weight": "weight of total variation",
    "objective": "the convention",
    "start": "noise, content, style, blend, or a picture's path",
    "blend": "share of noise in the start blend",
    "seed": "of the noise",
    "size": "pixels: side of the square, or long side with --fit aspect",
    "fit": "square ignores the aspect ratio",
    "style_scale": "the style's size as a multiple of --size",
    "resample": "the filter that resizes pictures of another size",
    "optimiser": "scipy is L-BFGS-B restarted every 20 evaluations",
    "learning_rate": "Adam's, in grey levels",
    "evaluations": "the budget",
    "pyramid": "levels from coarse to fine, which share the budget",
    "precision": "tf32 and bf16 need a GPU",
    "colour": "luminance keeps the content's colours; histogram gives the style "
    "picture the content's colour statistics",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 when the engine refused, 1 when pixels differ."""
    options = _parser().parse_args(arguments)
    try:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        result: int = options.run(options)
        return result
    except EngineError as refusal:
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
        "--content C --style S --out PNG --alpha A",
    )
    _add_pictures(render, required=True)
    render.add_argument("--out", type=Path, required=True, metavar="PNG")
    render.add_argument("--last", type=Path, metavar="PNG", help="the last iterate too")
    render.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="go on from here if it is there"
    )
    render.add_argument("--checkpoint-seconds", type=float, default=60, metavar="S")
    _add_settings(render)

    grid = command(
        "grid",
        _grid,
        "Paint every combination of a specification.",
        "SPEC --out DIR",
    )
    grid.add_argument("spec", type=Path)
    grid.add_argument("--out", type=Path, required=True, metavar="DIR")
    grid.add_argument("--weights", help="for settings that name none")

    losses = command(
        "losses",
        _losses,
        "Evaluate an objective on a finished picture.",
        "--content C --style S --image G",
    )
    _add_pictures(losses, required=True)
    losses.add_argument("--image", type=Path, required=True, help="the picture judged")
    losses.add_argument("--json", action="store_true", help="on one line")
    _add_settings(losses)

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


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings")
    defaults = {each.name: each.default for each in fields(RenderSettings)}
    for name, text in _HELP.items():
        flags = ["--" + name.replace("_", "-")]
        if name.endswith("_layers"):
            flags.append(flags[0][:-1])
        default = defaults[name]
        kind = type(default) if isinstance(default, int | float) else str
        shown = "" if name in ("style_layers", "alpha") else f" [{_shown(default)}]"
        group.add_argument(
            *flags,
            dest=name,
            type=float if name == "alpha" else kind,
            choices=_CHOICES.get(name),
            help=text + shown,
        )
    group.add_argument(
        "--weights-input",
        choices=("features", "v1"),
        default="features",
        help="what a weights file expects: IMAGENET1K_FEATURES's input, or "
        "torchvision's usual one [features]",
    )
    group.add_argument(
        "--as-published",
        action="store_true",
        help="take settings left out from the objective's source where it fixes them",
    )


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{layer}={weight:g}" for layer, weight in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def layers(text: str, objective: str) -> Layers:
    """`conv1_1=0.3,conv2_1` as layers; without weights they get the objective's."""
    names = [part for part in text.replace("|", ",").split(",") if part != "none"]
    share = OBJECTIVES[objective].layer_weight(len(names)) if names else 0.0
    pairs = []
    for part in names:
        name, _, weight = part.strip().partition("=")
        try:
            pairs.append((name, float(weight) if weight else share))
        except ValueError:
            raise SettingsError(
                "layers", f"{part!r} is not LAYER or LAYER=WEIGHT."
            ) from None
    return tuple(pairs)


def _settings(options: argparse.Namespace, **defaults: Any) -> RenderSettings:
    """Settings from options, then defaults; `--weights` and `--start` may be files."""
    given = {name: getattr(options, name) for name in _HELP}
    values = {name: value for name, value in given.items() if value is not None}
    if options.as_published:
        defaults |= AS_PUBLISHED.get(values.get("objective", "paper"), {})
    values = defaults | values
    objective = values.get("objective", "paper")
    if "style_layers" in values:
        values["style_layers"] = layers(values["style_layers"], objective)
    if "content_layers" in values:
        read = layers(values["content_layers"], "johnson")  # each counts once
        values["content_layers"] = read
    return RenderSettings.from_dict(values)


def _painter(options: argparse.Namespace) -> Painter:
    """A painter on the device asked for. A path in `--weights` is read, and replaced
    by the name of the file that lies there."""
    import torch

    from generation.engine.render import Painter
    from generation.engine.weights import open_file

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    painter = Painter(device=device)
    named = options.weights
    if named and named.split(":")[0] not in ("imagenet", "imagenet-v1", "random"):
        spec, network, state = open_file(Path(named))
        if getattr(options, "weights_input", "features") == "v1":
            spec += ":v1"
        if getattr(options, "network", None) not in (None, network):
            raise SettingsError("network", f"{named} holds the weights of a {network}.")
        painter.states[spec] = state
        options.weights, options.network = spec, network
    return painter


def _opened(path: Path) -> Image.Image:
    opened = open_picture(path)
    for note in opened.notes:
        print(f"{path.name}: {note}", file=sys.stderr)
    return opened.image


def _render(options: argparse.Namespace) -> int:
    painter = _painter(options)
    start_picture = _take_start(options)
    settings = _settings(options)
    with _Bar() as bar:
        painted = painter.render(
            settings,
            _opened(options.content),
            _opened(options.style),
            start_picture=start_picture,
            checkpoint=options.checkpoint,
            checkpoint_seconds=options.checkpoint_seconds,
            on_progress=bar,
        )
    _write(options.out, settings, painted, [options.content, options.style])
    if options.last:
        from generation.engine.images import png_bytes

        options.last.write_bytes(png_bytes(painted.last))
    for note in painted.notes:
        print(note, file=sys.stderr)
    return 0


def _take_start(options: argparse.Namespace) -> Image.Image | None:
    if options.start is None or options.start in ("noise", "content", "style", "blend"):
        return None
    picture = _opened(Path(options.start))
    options.start = f"picture:{pixel_sha256(picture)}"
    return picture


def _write(
    out: Path, settings: RenderSettings, painted: Painted, sources: list[Path]
) -> None:
    """The picture with its story inside, and the story again beside it."""
    from generation.engine.provenance import signed_png, story

    names = dict(zip(("content", "style"), map(str, sources), strict=True))
    told = {**story(settings, painted), "files": names}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(signed_png(painted.image, told))
    out.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")


def _grid(options: argparse.Namespace) -> int:
    from generation.engine.render import Request

    painter = _painter(options)
    try:
        spec = json.loads(options.spec.read_text())
        cells = list(_cells(spec, options))
    except EngineError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise SettingsError("spec", f"{options.spec} is no grid: {error}.") from error
    if not cells:
        raise SettingsError("spec", f"{options.spec} has no cells.")
    paths = dict.fromkeys(path for cell in cells for path in cell[:2])
    pictures = {path: _opened(path) for path in paths}
    names = {path: pixel_sha256(picture) for path, picture in pictures.items()}
    outs = [
        options.out / f"{_request(settings, names[content], names[style])[:16]}.png"
        for content, style, settings in cells
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "grid.csv").open("w", newline="") as file:
        table = csv.writer(file)
        for out, (content, style, settings) in zip(outs, cells, strict=True):
            columns = settings.columns()
            if out is outs[0]:
                table.writerow(["picture", "content", "style", *columns])
            table.writerow([out.name, content.name, style.name, *columns.values()])

    todo = [at for at, out in enumerate(outs) if not out.exists()]
    requests = [
        Request(settings=settings, content=pictures[content], style=pictures[style])
        for content, style, settings in (cells[at] for at in todo)
    ]
    refused = 0
    with _Bar() as bar:
        for index, result in painter.render_many(
            requests,
            on_progress=lambda index, step: bar(step, f"{index + 1}/{len(todo)} "),
        ):
            content, style, settings = cells[todo[index]]
            if isinstance(result, EngineError):
                refused += 1
                print(f"{outs[todo[index]].name}: {result}", file=sys.stderr)
            else:
                _write(outs[todo[index]], settings, result, [content, style])
    return 2 if refused else 0


def _request(settings: RenderSettings, content: str, style: str) -> str:
    return request_digest(settings, content_sha256=content, style_sha256=style)


def _cells(
    spec: dict[str, Any], options: argparse.Namespace
) -> Iterator[tuple[Path, Path, RenderSettings]]:
    pairs = spec.get("pairs") or itertools.product(spec["contents"], spec["styles"])
    given = {name: getattr(options, name, None) for name in ("weights", "network")}
    base = {name: value for name, value in given.items() if value}
    base |= spec.get("settings", {})
    factors = spec.get("factors", {})
    folder = options.spec.parent
    for content, style in list(pairs):
        for levels in itertools.product(*factors.values()):
            values = base | dict(zip(factors, levels, strict=True))
            objective = values.get("objective", "paper")
            mixes = {"content_layers": "johnson", "style_layers": objective}
            for name, mix in mixes.items():
                if isinstance(values.get(name), str):
                    values[name] = layers(values[name], mix)
            yield folder / content, folder / style, RenderSettings.from_dict(values)


def _losses(options: argparse.Namespace) -> int:
    import torch

    from generation.engine.canvas import prepared, resized, to_tensor
    from generation.engine.problem import Problem, tv_loss

    painter = _painter(options)
    settings = _settings(options, alpha=1.0, precision="float64")
    network = painter.network(settings)
    content, style = prepared(
        settings, _opened(options.content), _opened(options.style)
    )
    cell, seen = painter.cell(settings, network, content, style, settings.size)
    size = seen.shape[3], seen.shape[2]
    judged = resized(_opened(options.image), size, settings.resample)
    pixels = to_tensor(judged).to(network.device, network.term_dtype)
    problem = Problem([cell], network)
    with torch.no_grad():
        by_content, by_style = problem.layer_losses(pixels)
        total = problem.terms(pixels)[0, 0]
        tv = tv_loss(pixels, OBJECTIVES[settings.objective])
    printed = {
        "objective": settings.objective,
        "alpha": settings.alpha,
        "beta": settings.beta,
        "tv_weight": settings.tv_weight,
        "content": {layer: value.item() for layer, value in by_content.items()},
        "style": {layer: value.item() for layer, value in by_style.items()},
        "tv": tv.item(),
        "total": total.item(),
        "content_layers": dict(settings.content_layers),
        "style_layers": dict(settings.style_layers),
        "weights_sha256": network.weights_sha256,
    }
    print(json.dumps(printed, indent=None if options.json else 1))
    return 0


def _rerender(options: argparse.Namespace) -> int:
    from generation.engine.provenance import differences, read_story

    told = read_story(options.picture)
    settings = RenderSettings.from_dict(told["settings"])
    options.weights_input = "v1" if settings.weights.endswith(":v1") else "features"
    painter = _painter(options)
    pictures = {}
    for role in ("content", "style"):
        path = getattr(options, role) or _found(told, role, options.picture.parent)
        pictures[role] = _opened(path)
        if pixel_sha256(pictures[role]) != told["digests"][role]:
            raise SettingsError(
                role, f"{path} is not the {role} picture this was painted from."
            )
    with _Bar() as bar:
        painted = painter.render(
            settings,
            pictures["content"],
            pictures["style"],
            start_picture=_opened(options.start) if options.start else None,
            on_progress=bar,
        )
    if options.out:
        from generation.engine.images import png_bytes

        options.out.write_bytes(png_bytes(painted.image))
    if painted.pixel_sha256 == told["pixel_sha256"]:
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
    raise SettingsError(role, f"The {role} picture is not here: name it by --{role}.")


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
