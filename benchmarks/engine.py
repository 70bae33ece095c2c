"""What one evaluation costs, here and elsewhere; what a pyramid saves; a grid's time.

    python -m benchmarks.engine --size 256 --size 300 \
        [--pystiche DIR] [--crowsonkb DIR] [--neural-style-pt DIR]
    python -m benchmarks.engine --pyramid --size 256 --size 300 \\
        [--weights FILE --pictures DIR --alpha 1e-4]   (to equal loss)
    python -m benchmarks.engine --grid                     (Experiment 1 on a GPU)
    python -m benchmarks.engine --grid --device cpu --size 16 --evaluations 2
                                                           (whether that runs, no more)

Every engine runs in a process of its own, on the same seeded random weights (good for
time and memory, and for nothing else), the same two pictures, VGG-16 with the paper's
five style layers and content at conv4_2, from noise, for the same number of
evaluations. The processes take turns (`--rounds`), so that a neighbour's load hits
all of them; the first evaluations of each are dropped; the table gives the median of
the rest in wall-clock and in processor time. The peers' checkouts may need tqdm and
aiohttp.

`bare` is the limit: forward and backward of the cut network and nothing else, in the
faster of torch's two memory layouts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

STYLE = [f"conv{block}_1" for block in range(1, 6)]
CONTENT = "conv4_2"
# Where torchvision's `features` hold the layers' ReLUs.
STYLE_INDICES, CONTENT_INDEX = [1, 6, 11, 18, 25], 20
WARM_UP = 3


class Clock:
    """The wall-clock and processor time at the end of every evaluation."""

    def __init__(self) -> None:
        self.ticks = [(time.perf_counter(), time.process_time())]

    def __call__(self, *_: object) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def costs(self) -> list[list[float]]:
        steps = np.diff(np.array(self.ticks), axis=0)[WARM_UP:]
        return steps.tolist()


def pictures(size: int) -> tuple[Image.Image, Image.Image]:
    """Two smooth coloured pictures, always the same."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    content, style = (
        Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC)
        for each in noise
    )
    return content, style


def torchvision_vgg(folder: Path) -> Any:
    from torchvision.models import vgg16

    with torch.device("meta"):
        network = vgg16(weights=None)
    network.features.to_empty(device="cpu")
    state = torch.load(folder / "features.pth", weights_only=True)
    own = {name.removeprefix("features."): each for name, each in state.items()}
    network.features.load_state_dict(own)
    return network.requires_grad_(False)


def bare(folder: Path, size: int, evaluations: int, clock: Clock) -> None:
    _bare(folder, size, evaluations, clock, torch.contiguous_format)


def bare_last(folder: Path, size: int, evaluations: int, clock: Clock) -> None:
    _bare(folder, size, evaluations, clock, torch.channels_last)


def _bare(folder: Path, size: int, evaluations: int, clock: Clock, layout: Any) -> None:
    network = torchvision_vgg(folder).features[: STYLE_INDICES[-1] + 1]
    network = network.to(memory_format=layout)
    picture = torch.rand(1, 3, size, size).to(memory_format=layout)
    for _ in range(evaluations):
        point = picture.detach().requires_grad_()
        torch.autograd.grad(network(point).sum(), point)
        clock()


def ours(folder: Path, size: int, evaluations: int, clock: Clock) -> None:
    from generation.engine.painter import Painter
    from generation.engine.settings import RenderSettings

    settings = RenderSettings(
        alpha=1e-3,
        weights="random:0",
        content_layer=((CONTENT, 1.0),),
        tv_weight=1e-3,
        size=size,
        evaluations=evaluations,
    )
    content, style = pictures(size)
    with Painter() as painter:
        state = torch.load(folder / "features.pth", weights_only=True)
        painter.states["random:0"] = state
        painter.render(settings, content, style, on_progress=clock)


def notebook(folder: Path, size: int, evaluations: int, clock: Clock) -> None:
    """The published notebook's way: content, style and generated picture go through
    the network at every evaluation, both Grams are computed each time, SciPy drives."""
    from scipy.optimize import fmin_l_bfgs_b

    network = torchvision_vgg(folder).features
    still = torch.stack(
        [
            torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)
            for picture in pictures(size)
        ]
    )

    def gram(maps: torch.Tensor) -> torch.Tensor:
        flat = maps.flatten(1)
        return flat @ flat.T

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(x).float().view(1, 3, size, size).requires_grad_()
        values = torch.cat([still, point])
        loss = torch.zeros(())
        for index, layer in enumerate(network[: STYLE_INDICES[-1] + 1]):
            values = functional.relu(values) if index in RELUS else layer(values)
            if index == CONTENT_INDEX:
                loss = loss + 1e-3 * (values[2] - values[0]).square().sum() / 2
            if index in STYLE_INDICES:
                difference = gram(values[1]) - gram(values[2])
                loss = loss + difference.square().sum() / (180 * size**4)
        down = point[..., 1:, :-1] - point[..., :-1, :-1]
        right = point[..., :-1, 1:] - point[..., :-1, :-1]
        loss = loss + 1e-3 * (down.square() + right.square()).pow(1.25).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        clock()
        return loss.item(), gradient.double().numpy().ravel()

    x = np.random.default_rng(0).uniform(0, 255, 3 * size * size) - 128
    while len(clock.ticks) <= evaluations:
        x, _, _ = fmin_l_bfgs_b(function, x, maxfun=20)


RELUS = {1, 3, 6, 8, 11, 13, 15, 18, 20, 22, 25, 27, 29}


def pystiche(
    folder: Path, size: int, evaluations: int, clock: Clock, checkout: str
) -> None:
    import torchvision  # noqa: F401

    # It was written for a torchvision that listed its weights' addresses.
    families = {"alexnet": ["alexnet"]}
    families["vgg"] = [f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")]
    for family, names in families.items():
        module = sys.modules[f"torchvision.models.{family}"]
        module.model_urls = dict.fromkeys(names, "")  # type: ignore[attr-defined]
    sys.path.insert(0, checkout)
    os.environ["PYSTICHE_HOME"] = str(folder)
    from pystiche import enc, loss, optim

    encoder = enc.vgg16_multi_layer_encoder(
        pretrained=False, internal_preprocessing=False
    )
    theirs = [each for each in encoder.modules() if isinstance(each, torch.nn.Conv2d)]
    seeded = torchvision_vgg(folder).features.modules()
    same = [each for each in seeded if isinstance(each, torch.nn.Conv2d)]
    for one, other in zip(theirs, same, strict=True):
        one.load_state_dict(other.state_dict())
    criterion = loss.PerceptualLoss(
        loss.FeatureReconstructionLoss(
            encoder.extract_encoder(CONTENT.replace("conv", "relu"))
        ),
        loss.MultiLayerEncodingLoss(
            encoder,
            [name.replace("conv", "relu") for name in STYLE],
            lambda each, weight: loss.GramLoss(each, score_weight=weight),
            score_weight=1e3,
        ),
    )
    content, style = (
        torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None]
        for picture in pictures(size)
    )
    criterion.set_content_image(content)
    criterion.set_style_image(style)
    criterion.register_forward_hook(clock)
    optim.image_optimization(
        torch.rand(content.shape) * 255, criterion, num_steps=evaluations, quiet=True
    )


def crowsonkb(
    folder: Path, size: int, evaluations: int, clock: Clock, checkout: str
) -> None:
    sys.path.insert(0, checkout)
    package = types.ModuleType("style_transfer")  # without its web interface
    package.__path__ = [str(Path(checkout) / "style_transfer")]
    sys.modules["style_transfer"] = package
    from style_transfer import style_transfer as module

    module.models.vgg19 = lambda **_: torchvision_vgg(folder)
    engine_init = module.VGGFeatures.__init__

    def at_vgg16s_layers(self: Any, layers: list[int], **options: Any) -> None:
        engine_init(self, [*STYLE_INDICES, CONTENT_INDEX], **options)

    module.VGGFeatures.__init__ = at_vgg16s_layers
    engine = module.StyleTransfer()
    engine.style_layers, engine.content_layers = STYLE_INDICES, [CONTENT_INDEX]
    content, style = pictures(size)
    engine.stylize(
        content,
        [style],
        min_scale=size,
        end_scale=size,
        initial_iterations=evaluations,
        init="uniform",
        callback=clock,
    )


def neural_style_pt(
    folder: Path, size: int, evaluations: int, clock: Clock, checkout: str
) -> None:
    sys.path.insert(0, checkout)
    for role, picture in zip(("content", "style"), pictures(size), strict=True):
        picture.save(folder / f"{role}-{size}.png")
    layers = ",".join(name.replace("conv", "relu") for name in STYLE)
    sys.argv = (
        f"neural_style.py -gpu c -model_file {folder / 'vgg16-features.pth'} "
        f"-disable_check -content_image {folder / f'content-{size}.png'} "
        f"-style_image {folder / f'style-{size}.png'} -image_size {size} "
        f"-num_iterations {evaluations} -print_iter 0 -save_iter 0 -seed 0 "
        f"-content_layers {CONTENT.replace('conv', 'relu')} -style_layers {layers} "
        f"-output_image {folder / 'out.png'}"
    ).split()
    import neural_style  # type: ignore[import-not-found]

    class Timed(torch.optim.LBFGS):
        def step(self, closure: Any) -> Any:  # type: ignore[override]
            def timed() -> Any:
                value = closure()
                clock()
                return value

            return super().step(timed)

    neural_style.optim.LBFGS = Timed
    neural_style.main()


ENGINES: dict[str, Callable[..., None]] = {
    "bare": bare,
    "bare channels-last": bare_last,
    "this engine": ours,
    "the notebook's way": notebook,
    "pystiche": pystiche,
    "crowsonkb": crowsonkb,
    "neural-style-pt": neural_style_pt,
}


def measure(options: argparse.Namespace) -> None:
    """Run one engine in this process and print its costs."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = Clock()
    extra = [options.checkout] if options.checkout else []
    stdout, sys.stdout = sys.stdout, sys.stderr  # some engines talk
    ENGINES[options.run](
        Path(options.folder), options.size[0], options.evaluations, clock, *extra
    )
    sys.stdout = stdout
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"costs": clock.costs(), "peak": peak}))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """The table: every engine, in turns, at one size after the other."""
    checkouts = {
        "pystiche": options.pystiche,
        "crowsonkb": options.crowsonkb,
        "neural-style-pt": options.neural_style_pt,
    }
    names = [name for name in ENGINES if checkouts.get(name, "here")]
    for size in options.size:
        costs: dict[str, list[list[float]]] = {name: [] for name in names}
        peaks = dict.fromkeys(names, 0.0)
        for _ in range(options.rounds):
            for name in names:
                command = [sys.executable, "-m", "benchmarks.engine", "--run", name]
                command += ["--size", str(size), "--threads", str(options.threads)]
                command += ["--evaluations", str(options.evaluations)]
                command += ["--folder", str(folder)]
                command += ["--checkout", checkouts.get(name) or ""]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name} failed:\n{done.stderr[-800:]}", file=sys.stderr)
                    continue
                result = json.loads(done.stdout.splitlines()[-1])
                costs[name] += result["costs"]
                peaks[name] = max(peaks[name], result["peak"])
        _table(size, costs, peaks)


def _table(
    size: int, costs: dict[str, list[list[float]]], peaks: dict[str, float]
) -> None:
    seconds = {
        name: [median(column) for column in zip(*each, strict=True)]
        for name, each in costs.items()
        if each
    }
    limit = [
        min(seconds[name][at] for name in seconds if name.startswith("bare"))
        for at in (0, 1)
    ]
    print(f"\n{size} × {size}, load average {os.getloadavg()[0]:.1f}")
    print("| engine | s per evaluation | × bare | CPU s | × bare | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (wall, cpu) in seconds.items():
        print(
            f"| {name} | {wall:.3f} | {wall / limit[0]:.2f} | {cpu:.3f} "
            f"| {cpu / limit[1]:.2f} | {peaks[name]:.0f} |"
        )


BUDGET = 240  # evaluations, of the single scale and of all levels together


def time_to_equal_loss(options: argparse.Namespace) -> None:
    """When a pyramid reaches the loss of single-scale evaluations, both from noise.

    Where a search from noise ends is partly luck: the loss to be reached is the median
    over seeds, and so are the costs: processor seconds, and what a machine that is at
    times slower cannot change, evaluations of the finest size, a smaller one counted by
    its share of the pixels. Losses are those of pictures of 8 bits: as the search stays
    inside their range only rounding parts the two, by no more than is printed. With
    `--weights` the trained network looks at photos and paintings; else seeded random
    weights do, of which α = 2e-5 paints something.
    """
    from skimage import data

    from generation.engine.judged import ratio
    from generation.engine.painter import Painter
    from generation.engine.request import Progress
    from generation.engine.settings import RenderSettings

    class Reached(Exception):
        pass

    torch.set_num_threads(options.threads)
    wanted: dict[str, Any] = {"weights": "random:0", "pooling": "average"}
    if options.weights:
        from benchmarks.inside import PAIRS, trained

        spec, network, state = trained(options.weights)
        wanted = {"weights": spec, "network": network}
        folder = Path(options.pictures)
        pairs = {
            name: [Image.open(folder / each).convert("RGB") for each in PAIRS[name]]
            for name in PAIRS
            if options.pair in (None, name)
        }
    else:
        pairs = {
            " × ".join(names): [Image.fromarray(getattr(data, it)()) for it in names]
            for names in (("astronaut", "retina"), ("chelsea", "coffee"))
        }
    print(
        f"{BUDGET} evaluations, {options.seeds} seeds, {options.levels} levels; CPU s"
    )
    print(
        "| size | pair | α | loss (seeds apart) | single scale | pyramid | ratio "
        "| in evaluations | ratio | rounding |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with Painter() as painter:
        if options.weights:
            painter.states[spec] = state

        def run(
            pair: list[Image.Image], levels: int, aim: float, **given: Any
        ) -> tuple[float, float, float, float]:
            """The lowest loss on the finest level, the processor seconds and the
            evaluations of the finest size until it was no higher than `aim`, and by
            how much of it rounding raised it if the search came to its end."""
            settings = RenderSettings(
                pyramid=levels, fit="square", evaluations=BUDGET, **wanted, **given
            )
            began, lowest, counted = time.process_time(), np.inf, 0.0
            coarser = [settings.level_evaluations(level) for level in range(levels)]
            ends = np.cumsum(coarser)

            def watch(progress: Progress) -> None:
                nonlocal lowest, counted
                level = int(np.searchsorted(ends, progress.evaluations))
                counted += (settings.level_size(level) / settings.size) ** 2
                if level == levels - 1 and math.isfinite(progress.total):
                    lowest = min(lowest, progress.total)
                if lowest <= aim:
                    raise Reached

            rounding = 0.0
            try:
                painted = painter.render(settings, *pair, on_progress=watch)
                rounding = (ratio(painted.losses) or 0.0) - 1
                if levels > 1:
                    return lowest, np.inf, np.inf, rounding
            except Reached:
                pass
            return lowest, time.process_time() - began, counted, rounding

        for size in options.size:
            for name, pair in pairs.items():
                seeds = [
                    {"alpha": options.alpha, "size": size, "seed": seed}
                    for seed in range(options.seeds)
                ]
                single = [run(pair, 1, -np.inf, **each) for each in seeds]
                ends = [end for end, *_ in single]
                aim = median(ends)
                reached = [run(pair, options.levels, aim, **each) for each in seeds]
                apart = (max(ends) - min(ends)) / aim
                whole = median(cpu for _, cpu, *_ in single)
                cost, count = (median(it[at] for it in reached) for at in (1, 2))
                counts = ", ".join(f"{it[2]:.0f}" for it in reached)
                rounding = max(it[3] for it in single)
                print(
                    f"| {size} | {name} | {options.alpha:g} "
                    f"| {aim:.1f} ({apart:.1%}) | {whole:.0f} s "
                    f"| {cost:.0f} s | {cost / whole:.2f} "
                    f"| {counts} of {BUDGET} | {count / BUDGET:.2f} "
                    f"| {rounding:+.2%} |",
                    flush=True,
                )


# What Experiment 1 asks of the network: 25 cells, 240 evaluations, 300 x 300.
GRID_TFLOP = 614


def grid(options: argparse.Namespace) -> None:
    """Experiment 1 after a warm-up, beside the matrix rate of the same run.

    No time without its check: the finished pictures of every precision are evaluated
    again in float32 and held against those that were painted in float32. On a CPU
    there is nothing to claim, and only the check is printed.
    """
    from generation.engine.painter import Painter
    from generation.engine.request import Painted, Request
    from generation.engine.settings import RenderSettings

    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("No GPU here: nothing is measured and nothing is claimed.")
        return
    size, evaluations = options.size[-1], options.evaluations
    content, style = pictures(size)

    def cells(evaluations: int, precision: str) -> list[Request]:
        return [
            Request(
                settings=RenderSettings(
                    alpha=alpha,
                    weights="random:0",
                    content_layer=((layer, 1.0),),
                    size=size,
                    evaluations=evaluations,
                    precision=precision,
                ),
                content=content,
                style=style,
            )
            for layer in STYLE
            for alpha in (1e-3, 1e-2, 1e-1, 0.25, 0.5)
        ]

    print(f"25 cells of {size} x {size} x {evaluations} evaluations")
    rate = 0.0
    if on_gpu:
        rate = matrix_rate()
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, bf16")
        print(f"matrices of 8192 x 8192 at {rate:.0f} TFLOP/s")
    print("| precision | s | TFLOP/s | of the matrix rate | together, how", end=" ")
    print("| float32 losses of its pictures against float32's: median, worst |")
    print("| --- | --- | --- | --- | --- | --- |")
    exact = np.ones(25)
    for precision in ("float32", "tf32", "bf16") if on_gpu else ("float32", "float64"):
        with Painter(device=options.device) as painter:
            list(painter.render_many(cells(min(10, evaluations), precision)))
            _wait(on_gpu)
            began = time.perf_counter()
            results = dict(painter.render_many(cells(evaluations, precision)))
            _wait(on_gpu)
            seconds = time.perf_counter() - began
        painted = [results[at] for at in range(25)]
        if refused := [each for each in painted if not isinstance(each, Painted)]:
            raise SystemExit(f"{precision}: {refused[0]}")
        done = [each for each in painted if isinstance(each, Painted)]
        losses = _losses(done, cells(evaluations, "float32"), options.device)
        if precision == "float32":
            exact = losses
        apart = np.abs(losses / exact - 1)
        spent = sum(each.evaluations for each in done) / (25 * 240)
        speed = spent * GRID_TFLOP * (size / 300) ** 2 / seconds
        how = {
            (each.environment["batch"], each.environment["evaluation"]) for each in done
        }
        reached = f"{speed:.0f} | {speed / rate:.0%}" if on_gpu else "- | -"
        took = f"{seconds:.2f}" if on_gpu else "-"
        print(
            f"| {precision} | {took} | {reached} | {sorted(how)} "
            f"| {np.median(apart):.2%}, {apart.max():.2%} |",
            flush=True,
        )


def _losses(painted: list[Any], requests: list[Any], device: str) -> np.ndarray:
    """The total of each finished picture, evaluated in float32."""
    from generation.engine.methods.gatys.problem import Problem
    from generation.engine.painter import Painter
    from generation.engine.pictures.canvas import to_tensor

    totals = []
    with Painter(device=device) as painter, torch.no_grad():
        for each, request in zip(painted, requests, strict=True):
            settings = request.settings
            network = painter.network(settings)
            cell, _ = painter.cell(
                settings, network, request.content, request.style, settings.size
            )
            pixels = to_tensor(each.image).to(network.device)
            terms = Problem([cell], network).terms(pixels)
            totals.append(terms[0, 0].item())
    return np.array(totals)


def _wait(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()


def matrix_rate() -> float:
    """TFLOP/s of large bf16 matrix products, after a warm-up."""
    side, products = 8192, 40
    one = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    for _ in range(products):
        one @ one
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(products):
        one @ one
    torch.cuda.synchronize()
    return products * 2 * side**3 / (time.perf_counter() - began) / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--evaluations", type=int, help="[12; 240: --grid]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    for peer in ("pystiche", "crowsonkb", "neural-style-pt"):
        parser.add_argument(f"--{peer}", metavar="DIR", help="a checkout")
    parser.add_argument("--pyramid", action="store_true")
    parser.add_argument("--levels", type=int, default=5, help="of the pyramid")
    parser.add_argument("--alpha", type=float, default=2e-5, help="of its objective")
    parser.add_argument("--seeds", type=int, default=3, help="of its noise")
    parser.add_argument("--pictures", metavar="DIR", help="of the pyramid: the paper's")
    parser.add_argument("--weights", metavar="FILE", help="trained network")
    parser.add_argument("--pair", help="of these pictures, one pair alone")
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    for hidden in ("--run", "--folder", "--checkout"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.size = options.size or [256, 300]
    usual = 240 if options.grid else 12
    options.evaluations = options.evaluations or usual
    if options.run:
        measure(options)
    elif options.pyramid:
        time_to_equal_loss(options)
    elif options.grid:
        grid(options)
    else:
        from generation.engine.networks.weights import state_dict

        print(f"torch {torch.__version__}, {options.threads} threads")
        with tempfile.TemporaryDirectory() as folder:
            state = state_dict("random:0", network="vgg16", folder=None)
            for name in ("features.pth", "vgg16-features.pth"):
                torch.save(state, Path(folder) / name)
            compare(options, Path(folder))


if __name__ == "__main__":
    main()
