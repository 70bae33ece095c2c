"""The losses of a render as lines of a picture. Pure: no Django, no matplotlib.

Coordinates are those of an SVG of WIDTH × HEIGHT; the losses' axis is logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from generation.engine.judged import SEEN

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 70, 12, 36
# More points than pixels across show nothing more.
MOST_POINTS = 400
# A first loss next to 0 would press all others together.
MOST_DECADES = 8


@dataclass(frozen=True)
class Line:
    """A term of the objective, weighted as it counts in the total."""

    name: str
    points: str
    last: float
    label_y: float


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart for a template: `lines`, ticks of evaluations (x) and losses (y)."""

    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(curve: Sequence[Mapping[str, Any]], weights: Mapping[str, float]) -> Chart:
    """Draw a render's `curve`. `weights` are those of its method's terms by name (α, β
    and the TV weight of `content`, `style` and `tv`), which are drawn as they add up
    to the `total`.

    A term of weight 0 has no line, nor has a value of 0, one MOST_DECADES below the
    largest, or one that was not finite (None), a point on a logarithmic axis.
    """
    step = max(1, -(-len(curve) // MOST_POINTS))
    rows = [*curve[::step]] + ([curve[-1]] if (len(curve) - 1) % step else [])
    series: dict[str, list[tuple[float, float]]] = {}
    for name, weight in {"total": 1.0, **weights, SEEN: 1.0}.items():
        points = [
            (float(row["evaluation"]), weight * float(row[name]))
            for row in (curve if name == SEEN else rows)  # it is in few of them
            if row.get(name) is not None and weight * float(row[name]) > 0
        ]
        if points:
            series[name] = points
    if not series:
        return Chart([], [], [])
    least = max(y for points in series.values() for _, y in points) / 10**MOST_DECADES
    series = {
        name: [point for point in points if point[1] >= least]
        for name, points in series.items()
        if points[-1][1] >= least
    }
    ends = [x for points in series.values() for x, _ in points]
    values = [math.log10(y) for points in series.values() for _, y in points]
    low, high = math.floor(min(values)), math.ceil(max(values))
    high = max(high, low + 1)
    first, last = min(ends), max(max(ends), min(ends) + 1)

    def across(x: float) -> float:
        return LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def down(exponent: float) -> float:
        return TOP + (high - exponent) / (high - low) * (HEIGHT - TOP - BOTTOM)

    lines = []
    for name, points in series.items():
        at = [(across(x), down(math.log10(y))) for x, y in points]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        lines.append(Line(name, drawn, points[-1][1], at[-1][1]))
    decades = range(low, high + 1, max(1, (high - low) // 6))
    middle = round((first + last) / 2)
    return Chart(
        lines=_apart(lines),
        x_ticks=[
            Tick(across(x), f"{x:,.0f}") for x in dict.fromkeys((first, middle, last))
        ],
        y_ticks=[Tick(down(n), _power(n)) for n in decades],
    )


def _power(exponent: int) -> str:
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "10" + str(exponent).translate(digits)


def _apart(lines: list[Line], least: float = 14) -> list[Line]:
    """The lines with their labels so far apart that each can be read."""
    placed: list[Line] = []
    for line in sorted(lines, key=lambda it: it.label_y):
        y = line.label_y
        if placed:
            y = max(y, placed[-1].label_y + least)
        placed.append(replace(line, label_y=y))
    over = placed[-1].label_y - (HEIGHT - BOTTOM) if placed else 0
    if over <= 0:
        return placed
    return [replace(it, label_y=max(TOP, it.label_y - over)) for it in placed]
