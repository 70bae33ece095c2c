"""What a balance of 1 comes to as an α, and 48 paintings that show what balances do.

    python -m benchmarks.balance --weights FILE --pictures DIR [--size 96 --size 128]
    python -m benchmarks.balance --plan          (the paintings, nothing is painted)

α₀ = S(content photo) / C(style picture) for six pairs of the paper's pictures, four
content layers and every objective, at each size: geometric mean, and the largest over
the smallest. DIR has the folders `content` and `style` with the paper's pictures.

The plan is a fraction of 6 pairs × 4 layers × 3 objectives × 2 starts × 2 TV weights ×
3 balances, of which every level comes at least 6 times: all pairs are crossed with
objectives and balances, less six cells, and the other factors turn by turn.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean

import torch

from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.networks.weights import open_file
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import resized, to_tensor
from generation.engine.pictures.files import open_picture
from generation.engine.settings import RenderSettings

PAIRS = (
    ("cat.jpg", "wave.jpg"),
    ("yosemite.jpg", "scream.jpg"),
    ("portrait.jpg", "starry_night.jpg"),
    ("violets.jpg", "marilyn.jpg"),
    ("toronto.jpeg", "group_of_seven.jpg"),
    ("sunflower.jpg", "stained_glass_tree.jpg"),
)
LAYERS = ("conv2_1", "conv3_1", "conv4_1", "conv4_2")
PAINTED_UNDER = ("paper", "notebook", "johnson")  # all with TV; sums and a mean
STARTS = ("noise", "content")
BALANCES = (0.03, 0.1, 0.3)


def alphas(
    painter: Painter, weights: str, folder: Path, pair: tuple[str, str], size: int
) -> dict[tuple[str, str], float]:
    """α₀ of one pair at one size, by objective and content layer."""
    content, style = (
        open_picture((folder / role / name).read_bytes()).image
        for role, name in zip(("content", "style"), pair, strict=True)
    )
    found = {}
    for objective in OBJECTIVES:
        # Every content layer is read at once: each counts by itself below.
        settings = RenderSettings(
            alpha=1.0,
            weights=weights,
            objective=objective,
            content_layer=tuple((layer, 1.0) for layer in LAYERS),
            size=size,
        )
        network = painter.network(settings)
        cell, seen = painter.cell(settings, network, content, style, size)
        problem = settings.how.problem([cell], network)
        shape = seen.shape[3], seen.shape[2]
        other = to_tensor(resized(style, shape, settings.resample)).to(seen)
        with torch.no_grad():
            of_content = problem.terms(seen.to(network.term_dtype))[0].tolist()
            by_layer = problem.by_layer(other.to(network.term_dtype))["content"]
        for layer in LAYERS:
            found[objective, layer] = of_content[2] / by_layer[layer].item()
    return found


def table(options: argparse.Namespace) -> None:
    weights, _, state = open_file(options.weights)
    torch.set_num_threads(1)
    print(f"Weights {weights}, torch {torch.__version__}, one thread.\n")
    print(f"| size | objective | {' | '.join(LAYERS)} |")
    print(f"| --- | --- |{' --- |' * len(LAYERS)}")
    for size in options.size or (96, 128, 256):
        with Painter() as painter:
            painter.states[weights] = state
            of_pairs = [
                alphas(painter, weights, options.pictures, pair, size) for pair in PAIRS
            ]
        for objective in OBJECTIVES:
            cells = []
            for layer in LAYERS:
                values = [each[objective, layer] for each in of_pairs]
                spread = max(values) / min(values)
                cells.append(f"{geometric_mean(values):.2g} ({spread:.1f} ×)")
            print(f"| {size}² | `{objective}` | {' | '.join(cells)} |", flush=True)


def plan() -> Iterator[dict[str, str | float]]:
    """The settings and pictures of the paintings, a row each."""
    cells = [
        (pair, objective, balance)
        for pair in range(len(PAIRS))
        for objective in range(len(PAINTED_UNDER))
        for balance in range(len(BALANCES))
    ]
    # Of 54 cells, six are left out: of each pair one, another each time.
    left_out = {(pair, pair % 3, (pair // 3 + pair) % 3) for pair in range(len(PAIRS))}
    for place, (pair, objective, balance) in enumerate(
        cell for cell in cells if cell not in left_out
    ):
        content, style = PAIRS[pair]
        yield {
            "content": content,
            "style": style,
            "content_layer": LAYERS[(pair + objective + 2 * balance) % len(LAYERS)],
            "objective": PAINTED_UNDER[objective],
            "start": STARTS[(place // 2) % 2],
            "tv_weight": (0.0, 1.0)[(place // 4 + balance) % 2],
            "balance": BALANCES[balance],
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--plan", action="store_true")
    options = parser.parse_args()
    if not options.plan:
        if options.weights is None or options.pictures is None:
            parser.error("the table needs --weights and --pictures")
        table(options)
        return
    rows = list(plan())
    out = csv.DictWriter(sys.stdout, rows[0])
    out.writeheader()
    out.writerows(rows)
    for name in rows[0]:
        times = Counter(row[name] for row in rows)
        print(f"{name}: {dict(times)}", file=sys.stderr)


if __name__ == "__main__":
    main()
