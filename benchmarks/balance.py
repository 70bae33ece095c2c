"""What a balance of 1 comes to as an α, and 48 paintings that show what balances do.

    python -m benchmarks.balance --weights FILE --pictures DIR [--size 96 --size 128]
    python -m benchmarks.balance --plan          (the paintings, nothing is painted)
    python -m benchmarks.balance --weights FILE --paint OUT [--seconds 450]
    python -m benchmarks.balance --looks OUT     (the same unlabelled, in three orders)
    python -m benchmarks.balance --sheets OUT    (with s and c under each, and a CSV)

α₀ = S(content photo) / C(style picture) for six pairs of the paper's pictures, four
content layers and every objective, at each size: geometric mean, and the largest over
the smallest. DIR has the folders `content` and `style` with the paper's pictures.

The plan is a fraction of 6 pairs × 4 layers × 3 objectives × 2 starts × 2 TV weights ×
3 balances, of which every level comes at least 6 times: all pairs are crossed with
objectives and balances, less six cells, and the other factors turn by turn. It is
painted with free pictures, scikit-image's photographs and the styles that this project
draws, as squares of 128 pixels, 100 evaluations. What OUT has already is not painted
again, and nothing is begun after `--seconds`.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.networks.state_dicts import open_file
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import resized, to_tensor
from generation.engine.pictures.files import open_picture
from generation.engine.settings import RenderSettings
from nstlab.drawn_styles import DRAWN

PAIRS = (
    ("cat.jpg", "wave.jpg"),
    ("yosemite.jpg", "scream.jpg"),
    ("portrait.jpg", "starry_night.jpg"),
    ("violets.jpg", "marilyn.jpg"),
    ("toronto.jpeg", "group_of_seven.jpg"),
    ("sunflower.jpg", "stained_glass_tree.jpg"),
)
# Photographs that scikit-image bundles: chelsea and coffee are CC0, by Stéfan van der
# Walt and Rachel Michetti; astronaut (NASA) and rocket (SpaceX) in the public domain.
FREE_PAIRS = (
    ("chelsea.png", "Woodcut"),
    ("coffee.png", "Stained glass"),
    ("astronaut.png", "Swirling strokes"),
    ("rocket.jpg", "Woodcut"),
    ("astronaut.png", "Stained glass"),
    ("chelsea.png", "Swirling strokes"),
)
LAYERS = ("conv2_1", "conv3_1", "conv4_1", "conv4_2")
PAINTED_UNDER = ("paper", "notebook", "johnson")  # all with TV; sums and a mean
STARTS = ("noise", "content")
BALANCES = (0.03, 0.1, 0.3)
SIDE, EVALUATIONS, PRECISION = 128, 100, "mixed"
LOOKS = 3


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
            fit="square",
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
        content, style = FREE_PAIRS[pair]
        yield {
            "content": content,
            "style": style,
            "content_layer": LAYERS[(pair + objective + 2 * balance) % len(LAYERS)],
            "objective": PAINTED_UNDER[objective],
            "start": STARTS[(place // 2) % 2],
            "tv_weight": (0.0, 1.0)[(place // 4 + balance) % 2],
            "balance": BALANCES[balance],
        }


def in_turn(
    rows: list[dict[str, str | float]],
) -> Iterator[tuple[int, dict[str, str | float]]]:
    """Rows with their places, so that every part has each level about as often."""
    left = dict(enumerate(rows))
    times: Counter[tuple[str, str | float]] = Counter()
    while left:
        place = min(
            left, key=lambda it: (sum(times[level] for level in left[it].items()), it)
        )
        row = left.pop(place)
        times.update(row.items())
        yield place, row


def free_pictures(content: str, style: str) -> tuple[Image.Image, Image.Image]:
    """The middle square of a photograph, and a drawn style."""
    import skimage

    photo = Path(skimage.__file__).parent / "data" / content
    image = open_picture(photo.read_bytes()).image
    side = min(image.size)
    return ImageOps.fit(image, (side, side)), DRAWN[style]()


def paint(options: argparse.Namespace) -> None:
    """Paint what of the plan is not there yet, until the seconds are over."""
    until = time.monotonic() + options.seconds
    weights, _, state = open_file(options.weights)
    torch.set_num_threads(1)
    options.paint.mkdir(parents=True, exist_ok=True)
    with Painter() as painter:
        painter.states[weights] = state
        for place, row in in_turn(list(plan())):
            told = options.paint / f"{place:02}.json"
            if told.exists() or time.monotonic() > until:
                continue
            settings = RenderSettings(
                content_layer=((str(row["content_layer"]), 1.0),),
                objective=str(row["objective"]),
                start=str(row["start"]),
                tv_weight=float(row["tv_weight"]),
                balance=float(row["balance"]),
                weights=weights,
                size=SIDE,
                evaluations=EVALUATIONS,
                precision=PRECISION,
            )
            began = time.process_time()
            pictures = free_pictures(str(row["content"]), str(row["style"]))
            painted = painter.render(settings, *pictures)
            painted.image.save(options.paint / f"{place:02}.png")
            row["alpha"] = painted.alpha or 0.0
            row["s"] = painted.style_share or 0.0
            row["c"] = painted.content_share or 0.0
            row["seconds"] = time.process_time() - began
            told.write_text(json.dumps(row | {"losses": painted.losses}))
            print(place, row, flush=True)


def painted_in(folder: Path) -> list[tuple[dict[str, float | str], Image.Image]]:
    """What has been painted: its row and its picture, in the plan's order."""
    return [
        (json.loads(told.read_text()), Image.open(told.with_suffix(".png")))
        for told in sorted(folder.glob("[0-9][0-9].json"))
    ]


def sheet(
    cells: list[tuple[list[str], Image.Image | None]], columns: int
) -> Image.Image:
    """Pictures in rows, lines of text under each."""
    font = ImageFont.load_default(11)
    lines = max(len(texts) for texts, _ in cells)
    width, height = SIDE + 6, SIDE + 8 + 13 * lines
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(page)
    for place, (texts, picture) in enumerate(cells):
        x, y = place % columns * width + 3, place // columns * height + 3
        if picture is not None:
            page.paste(picture, (x, y))
        for line, text in enumerate(texts):
            draw.text((x, y + SIDE + 1 + 13 * line), text, "black", font)
    return page


def looks(folder: Path) -> None:
    """Write the pictures numbered and shuffled, in another order for each look."""
    painted = painted_in(folder)
    for look in range(LOOKS):
        order = list(range(len(painted)))
        random.Random(look).shuffle(order)
        cells = [([f"{at + 1}"], painted[it][1]) for at, it in enumerate(order)]
        for part in range(0, len(cells), 16):
            page = sheet(list(cells[part : part + 16]), 4)
            page.save(folder / f"look{look + 1}-{part // 16 + 1}.png")
        (folder / f"look{look + 1}.json").write_text(json.dumps(order))


def sheets(folder: Path) -> None:
    """Write a contact sheet of each objective, a row a pair, and `painted.csv`."""
    painted = painted_in(folder)
    for objective in PAINTED_UNDER:
        cells: list[tuple[list[str], Image.Image | None]] = []
        for content, style in FREE_PAIRS:
            for balance in BALANCES:
                wanted = {
                    "content": content,
                    "style": style,
                    "objective": objective,
                    "balance": balance,
                }
                found = [
                    (row, picture)
                    for row, picture in painted
                    if wanted.items() <= row.items()
                ]
                for row, picture in found:
                    told = [
                        f"balance {balance:g}   s {row['s']:.2f}   c {row['c']:.2f}",
                        f"{row['content_layer']}, {row['start']}, "
                        f"TV {row['tv_weight']:g}",
                    ]
                    cells.append((told, picture))
                if not found:
                    cells.append((["not in the plan", ""], None))
        page = sheet(cells, 2 * len(BALANCES))
        page.save(folder / f"balance-{objective}.jpg", quality=82)
    with (folder / "painted.csv").open("w", newline="") as file:
        names = [name for name in painted[0][0] if name not in ("losses", "seconds")]
        out = csv.DictWriter(file, names, extrasaction="ignore")
        out.writeheader()
        out.writerows(row for row, _ in painted)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--paint", type=Path, metavar="OUT")
    parser.add_argument("--seconds", type=float, default=450.0)
    parser.add_argument("--looks", type=Path, metavar="OUT")
    parser.add_argument("--sheets", type=Path, metavar="OUT")
    options = parser.parse_args()
    if options.paint:
        if options.weights is None:
            parser.error("paintings need --weights")
        paint(options)
        return
    if options.looks:
        looks(options.looks)
        return
    if options.sheets:
        sheets(options.sheets)
        return
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
