"""Draws style pictures from nothing: free paintings come with no package.

Pure NumPy and Pillow, seeded, each picture in well under a second. Every one is ours
to give away, has many colours and a stroke of its own, so that even a small painting
shows whose style it has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float32]
Colours = tuple[tuple[int, int, int], ...]

SIDE = 384  # pixels
SMALLEST = 32  # below, nothing of a stroke is left

GLASS: Colours = (
    (172, 22, 34), (224, 88, 22), (248, 186, 40), (250, 226, 132),
    (24, 118, 92), (22, 82, 168), (16, 40, 116), (104, 34, 128), (96, 184, 212),
)  # fmt: skip
NIGHT: Colours = (
    (10, 22, 70), (22, 56, 132), (44, 104, 176), (112, 168, 200), (206, 218, 190),
    (250, 222, 104), (244, 164, 36),
)  # fmt: skip
PAPER, INK = (240, 226, 192), (24, 22, 28)
INKS: Colours = ((206, 60, 34), (226, 164, 70), (52, 110, 120), (120, 152, 110))


def stained_glass(side: int = SIDE, seed: int = 1) -> Image.Image:
    """A rose window: panes of coloured glass in rings, in black lead.

    `side` pixels square, 32 or more; the same picture for the same `seed` (0 or more).
    """
    generator, x, y = _start(side, seed)
    panes = _rings_of_panes(generator)
    nearest = np.full(x.shape, np.inf, np.float32)
    second = nearest.copy()
    owner = np.zeros(x.shape, np.int64)
    for index, (pane_x, pane_y) in enumerate(panes):
        distance = np.hypot(x - pane_x, y - pane_y)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        nearest = np.where(closer, distance, nearest)
        owner[closer] = index
    colours = np.array(GLASS, np.float32)
    radius = np.hypot(panes[:, 0], panes[:, 1])
    # Neighbouring rings far apart in hue, and here and there a pane of another.
    ring = np.array([3, 2, 0, 6, 1, 5, 8, 4, 7, 0, 6, 2])
    chosen = ring[np.minimum((radius / 0.16).astype(int), len(ring) - 1)]
    other = generator.random(len(panes)) < 0.3
    chosen[other] = generator.integers(len(GLASS), size=int(other.sum()))
    light = generator.uniform(0.72, 1.18, len(panes)).astype(np.float32)
    glass = colours[chosen][owner] * light[owner][..., None]
    # Light falls unevenly through old glass, and less of it along the lead.
    glass *= (1 + 0.22 * _cloud(generator, side, 12))[..., None]
    gap = second - nearest
    glass *= np.clip(0.62 + gap * 6, 0, 1)[..., None]
    lead = np.clip((gap - 0.022) / 0.012, 0, 1)[..., None]
    return _picture(glass * lead + np.array((16, 14, 18), np.float32) * (1 - lead))


def swirling_strokes(side: int = SIDE, seed: int = 1) -> Image.Image:
    """Thick short strokes along a field that turns around a few bright stars.

    `side` pixels square, 32 or more; the same picture for the same `seed` (0 or more).
    """
    generator, x, y = _start(side, seed)
    stars = np.array(
        [(-0.5, -0.5, 1), (0.45, -0.15, -1), (-0.3, 0.55, -1), (0.7, 0.75, 1),
         (0.65, -0.8, 1)]
    )  # fmt: skip
    stars[:, :2] += generator.uniform(-0.12, 0.12, (len(stars), 2))
    tone = 0.28 + 0.16 * _cloud(generator, side, 5)
    for star_x, star_y, _ in stars:
        distance = np.hypot(x - star_x, y - star_y)
        ripple = 0.75 + 0.25 * np.cos(distance * 32)
        tone += 0.8 * np.exp(-((distance / 0.24) ** 2)) * ripple
    number, steps = 2800, 6
    place = generator.uniform(-1.1, 1.1, (number, 2))
    paths = [place]
    for _ in range(steps):
        flow = np.stack([np.full(number, 0.5), 0.25 * np.sin(place[:, 0] * 4)], axis=1)
        for star_x, star_y, turn in stars:
            away = place - (star_x, star_y)
            pull = np.exp(-((np.hypot(away[:, 0], away[:, 1]) / 0.42) ** 2))
            flow += np.stack([-away[:, 1], away[:, 0]], axis=1) * (
                turn * 7 * pull[:, None]
            )
        place = place + 0.022 * flow / (np.linalg.norm(flow, axis=1)[:, None] + 1e-6)
        paths.append(place)
    middle = paths[steps // 2]
    pixel = np.clip(((middle + 1) / 2 * side).astype(int), 0, side - 1)
    wanted = tone[pixel[:, 1], pixel[:, 0]] + generator.normal(0, 0.09, number)
    colours = _between(NIGHT, wanted)
    colours *= generator.uniform(0.85, 1.15, (number, 1))
    fine = 2 * side  # drawn twice as large, for smooth edges
    lines = (np.stack(paths, axis=1) + 1) / 2 * fine
    image = Image.new("RGB", (fine, fine), NIGHT[1])
    draw = ImageDraw.Draw(image)
    thick = max(fine // 50, 1)
    for line, colour in zip(lines, np.clip(colours, 0, 255).astype(int), strict=True):
        # A shadow below and a ridge of paint above: strokes stand out of the canvas.
        points, lift = [tuple(point) for point in line], thick * 0.3
        for move, shade, width in (
            (lift, 0.6, thick), (0, 1.0, thick), (-lift, 1.22, max(thick // 4, 1)),
        ):  # fmt: skip
            fill = tuple(min(int(value * shade), 255) for value in colour)
            draw.line([(px, py + move) for px, py in points], fill, width)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def woodcut(side: int = SIDE, seed: int = 1) -> Image.Image:
    """A print of hills under a sun: black cuts whose width is the tone, four inks.

    `side` pixels square, 32 or more; the same picture for the same `seed` (0 or more).
    """
    generator, x, y = _start(side, seed, fine=2)
    sun_x, sun_y = generator.uniform(-0.45, 0.45), -0.42
    away = np.hypot(x - sun_x, y - sun_y)
    angle = np.arctan2(y - sun_y, x - sun_x)
    wobble = 0.5 * _cloud(generator, 2 * side, 16)
    inks = np.array(INKS, np.float32)
    # The sky: rings around the sun, wider cuts further out.
    colour = np.where((away < 0.3)[..., None], inks[0], np.array(PAPER, np.float32))
    colour = np.where(((away > 0.3) & (np.cos(angle * 14) > 0.1))[..., None],
                      inks[1], colour)  # fmt: skip
    phase, tone = away * 62 + wobble * 2, np.clip((away - 0.25) * 0.5, 0.0, 0.6)
    edge = np.abs(away - 0.3) < 0.014
    for index in range(5):
        slope = generator.uniform(0.05, 0.16)
        wave = generator.uniform(2.2, 4.5)
        shift = generator.uniform(0, 6.3)
        ridge = -0.12 + 0.25 * index + slope * np.sin(wave * x + shift)
        ridge += 0.05 * np.sin(9 * x + 2 * shift)
        below = y - ridge
        hill = below > 0
        colour = np.where(hill[..., None], inks[[2, 3, 1, 0, 2][index]], colour)
        lean = generator.uniform(-22, 22)
        cuts = below * 70 + lean * x + 4 * np.sin(5 * x + shift) + wobble * 3
        shade = 0.18 + 0.5 * (0.5 + 0.5 * np.sin(3 * x + 2 * shift)) + below * 0.5
        phase, tone = np.where(hill, cuts, phase), np.where(hill, shade, tone)
        edge = np.where(hill, below < 0.02, edge)
    ink = (np.cos(phase) + 1) / 2 < np.clip(tone, 0, 0.85)
    black = (ink | edge)[..., None]
    grain = 1 + 0.05 * _cloud(generator, 2 * side, 60)[..., None]
    printed = np.where(black, np.array(INK, np.float32), colour * grain)
    large = _picture(printed)
    return large.resize((side, side), Image.Resampling.LANCZOS)


DRAWN: dict[str, Callable[[], Image.Image]] = {
    "Stained glass": stained_glass,
    "Swirling strokes": swirling_strokes,
    "Woodcut": woodcut,
}


def _start(
    side: int, seed: int, fine: int = 1
) -> tuple[np.random.Generator, Floats, Floats]:
    """The random numbers of `seed`, and x and y from -1 to 1, `fine` a pixel."""
    if side < SMALLEST:
        raise ValueError(f"A drawn style has {SMALLEST} pixels or more a side.")
    line = np.linspace(-1, 1, fine * side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return np.random.default_rng(seed), x, y


def _rings_of_panes(generator: np.random.Generator) -> NDArray[np.float64]:
    """The middles of panes on rings around the middle, each a little astray."""
    middles = [(0.0, 0.0)]
    for ring in range(1, 12):
        radius = 0.13 * ring
        number = 6 * ring if ring < 3 else 4 * ring + 4
        turn = generator.uniform(0, 6.3)
        for index in range(number):
            angle = turn + 2 * np.pi * index / number + generator.normal(0, 0.05)
            away = radius + generator.normal(0, 0.02)
            middles.append((away * np.cos(angle), away * np.sin(angle)))
    return np.array(middles)


def _cloud(generator: np.random.Generator, side: int, spots: int) -> Floats:
    """Soft noise of -1 to 1 with about `spots` light and dark places a side."""
    coarse = generator.uniform(-1, 1, (spots, spots)).astype(np.float32)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(image), -1, 1)


def _between(colours: Colours, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours along a scale of them, 0 its first and 1 its last."""
    stops = np.linspace(0, 1, len(colours))
    channels = np.array(colours, float).T
    return np.stack([np.interp(position, stops, one) for one in channels], axis=-1)


def _picture(values: Floats) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
