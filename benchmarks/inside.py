"""Pictures as people see them: an earlier commit's search, this one's and SciPy's.

    python -m benchmarks.inside --before CHECKOUT --pictures DIR --weights FILE \\
        --size 96 --size 200 [--start noise] [--alpha 1e-4] [--pair NAME] [--kept FILE]

Objectives of finished pictures of 8 bits, `paper`, content at conv3_1. The earlier
state paints by its own command line, in a process of its own, with its own defaults;
this one with the defaults that it has; SciPy's L-BFGS-B has the bounds 0 and 255 and
this state's start. All are judged by one float32 evaluation of the finished picture.
With `--kept` a line of JSON is written for every end, and what stands there for the
same problem is not painted again: it can be run in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from generation.engine.networks.state_dicts import open_file
from generation.engine.networks.weights import named_with_input
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import start_pixels, to_image, to_tensor
from generation.engine.settings import ENGINE_VERSION, RenderSettings

# Contents and styles as `--pictures` has them: those of the paper.
PAIRS = {
    "cat × wave": ("content/cat.jpg", "style/wave.jpg"),
    "Yosemite × Scream": ("content/yosemite.jpg", "style/scream.jpg"),
    "portrait × night": ("content/portrait.jpg", "style/starry_night.jpg"),
    "violets × Marilyn": ("content/violets.jpg", "style/marilyn.jpg"),
}
ALPHAS = (1e-5, 1e-4, 1e-3)
STARTS = ("noise", "content")
NOW = f"version {ENGINE_VERSION}"
SEARCHES = ("before", "SciPy", NOW)


class Ends:
    """What searches came to, kept in a file of JSON lines where there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, float] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                named = json.loads(line)
                loss = named.pop("loss")
                self._known[json.dumps(named)] = loss

    def of(self, named: dict[str, Any], paint: Callable[[], float]) -> float:
        """The end of the search that is named so, painted if it is not known."""
        key = json.dumps(named)
        if key not in self._known:
            self._known[key] = paint()
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(named | {"loss": self._known[key]}) + "\n")
        return self._known[key]


def compare(options: argparse.Namespace) -> None:
    spec, network_name, state = trained(options.weights)
    ends = Ends(Path(options.kept) if options.kept else None)
    print(f"{options.evaluations} evaluations, load average {os.getloadavg()[0]:.1f}")
    print(f"| start | size | α | pair | {NOW} / before | {NOW} / SciPy |")
    print("| --- | --- | --- | --- | --- | --- |")
    found: dict[tuple[str, int, float], list[tuple[float, float]]] = {}
    with Painter() as painter:
        painter.states[spec] = state
        for start in options.start or STARTS:
            for size in options.size or (96, 200):
                for alpha in options.alpha or ALPHAS:
                    for pair in options.pair or PAIRS:
                        settings = RenderSettings(
                            alpha=alpha,
                            weights=spec,
                            network=network_name,
                            start=start,
                            size=size,
                            fit="square",
                            evaluations=options.evaluations,
                        )
                        row = _row(painter, settings, pair, ends, options)
                        before, scipys, now = row
                        ratios = now / before, now / scipys
                        found.setdefault((start, size, alpha), []).append(ratios)
                        print(
                            f"| {start} | {size} | {alpha:g} | {pair} "
                            f"| {ratios[0]:.3f} | {ratios[1]:.3f} |",
                            flush=True,
                        )
    print(f"\n| start | size | α | {NOW} / before: median, worst", end=" ")
    print(f"| {NOW} / SciPy: median, worst | at most 1.02 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (start, size, alpha), rows in found.items():
        before, scipy = zip(*rows, strict=True)
        print(
            f"| {start} | {size} | {alpha:g} | {median(before):.3f}, {max(before):.3f} "
            f"| {median(scipy):.3f}, {max(scipy):.3f} "
            f"| {sum(each <= 1.02 for each in scipy)} of {len(rows)} |"
        )


def trained(file: str) -> tuple[str, str, Any]:
    """The name, the network and the values of a file of weights."""
    spec, network, state = open_file(Path(file).resolve())
    return named_with_input(spec)[0], network, state


def _row(
    painter: Painter,
    settings: RenderSettings,
    pair: str,
    ends: Ends,
    options: argparse.Namespace,
) -> list[float]:
    """The ends of the three searches on one problem."""
    files = [Path(options.pictures).resolve() / each for each in PAIRS[pair]]
    content, style = (Image.open(each).convert("RGB") for each in files)
    network = painter.network(settings)
    cell, seen = painter.cell(settings, network, content, style, settings.size)
    problem = settings.how.problem([cell], network)

    def before() -> Image.Image:
        checkout = Path(options.before).resolve()
        return _painted_by(checkout, files, Path(options.weights).resolve(), settings)

    def scipys() -> Image.Image:
        first = start_pixels(settings, seen, style, None)
        return to_image(_bounded(problem, first, settings.evaluations))

    def now() -> Image.Image:
        return painter.render(settings, content, style).image

    def end(name: str, paint: Callable[[], Image.Image]) -> float:
        def judged() -> float:
            picture = paint()
            with torch.no_grad():
                value: float = problem.terms(to_tensor(picture))[0, 0].item()
            return value

        named = {"search": name, "pair": pair}
        named |= {it: getattr(settings, it) for it in ("start", "size", "alpha")}
        return ends.of(named | {"evaluations": settings.evaluations}, judged)

    paintings = zip(SEARCHES, (before, scipys, now), strict=True)
    return [end(name, paint) for name, paint in paintings]


def _painted_by(
    checkout: Path, files: list[Path], weights: Path, settings: RenderSettings
) -> Image.Image:
    """What a state's command line paints, with what it starts from by default."""
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "out.png"
        command = [str(checkout / ".venv/bin/python"), "-m", "generation.engine"]
        command += ["render", "--content", str(files[0]), "--style", str(files[1])]
        command += ["--out", str(out), "--weights", str(weights), "--device", "cpu"]
        for name in ("alpha", "start", "size", "evaluations"):
            command += [f"--{name}", str(getattr(settings, name))]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(
            command,
            cwd=checkout,
            env=os.environ | threads,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{checkout}: {done.stderr[-800:]}")
        with Image.open(out) as picture:
            return picture.convert("RGB")


def _bounded(problem: Any, start: torch.Tensor, evaluations: int) -> torch.Tensor:
    """The best of SciPy's L-BFGS-B within 0-255, in one run with its own settings."""
    from scipy.optimize import fmin_l_bfgs_b

    tried: list[float] = []
    best = start

    class Spent(Exception):
        pass

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        if len(tried) == evaluations:
            raise Spent
        point = torch.from_numpy(x).float().view_as(start)
        terms, gradient = problem.evaluate(point)
        loss = terms[0, 0].item()
        if loss < min(tried, default=np.inf):
            best = point
        tried.append(loss)
        return loss, gradient.double().numpy().ravel()

    bounds = [(0.0, 255.0)] * start.numel()
    with suppress(Spent):
        fmin_l_bfgs_b(
            function,
            start.double().numpy().ravel(),
            bounds=bounds,
            maxfun=10**6,
            maxiter=10**6,
        )
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="CHECKOUT", required=True)
    parser.add_argument("--pictures", metavar="DIR", required=True)
    parser.add_argument("--weights", metavar="FILE", required=True)
    parser.add_argument("--size", type=int, action="append", help="[96 and 200]")
    parser.add_argument("--start", action="append", choices=STARTS, help="[both]")
    parser.add_argument("--alpha", type=float, action="append", help="[three]")
    parser.add_argument("--pair", choices=PAIRS, action="append", help="[all four]")
    parser.add_argument("--evaluations", type=int, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", metavar="FILE", help="what is known, and is added to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compare(options)


if __name__ == "__main__":
    main()
