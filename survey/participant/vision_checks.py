"""Quick checks of screen and eyes, drawn here as SVG.

They screen, they do not diagnose: a participant's answers become passed or failed
and nothing else. Each participant gets pictures of their own, by their seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ROOM_BELOW = 120
"""CSS pixels that a window must have left below a picture, for the question."""


@dataclass(frozen=True)
class VisionCheck:
    """One check: what is asked, what can be answered, how it is drawn.

    `right` are the answers that pass; `draw` gives SVG text for a seed.
    """

    name: str
    question: str | Promise
    choices: tuple[tuple[str, str | Promise], ...]
    width: int
    height: int
    draw: Callable[[int], str]
    right: Callable[[int], set[str]]


def _svg(width: int, height: int, body: Sequence[str], ground: str) -> str:
    inside = "".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><rect width="100%" height="100%" '
        f'fill="{ground}"/>{inside}</svg>'
    )


def _drawn(seed: int, what: str) -> random.Random:
    return random.Random(f"{seed}/{what}")  # noqa: S311 - a drawing, not a secret


# Brightness: dark and light squares a few grey levels from their ground ---------------

STEPS = (4, 8, 12, 20)
"""Grey levels (of 255) between a square and its ground, dark and light alike."""


def _squares(seed: int) -> int:
    """The number of the eight squares that are there at all: 5 to 8."""
    return _drawn(seed, "brightness").randrange(5, 9)


def draw_brightness(seed: int) -> str:
    """Eight fields, from nearly black to nearly white; some hold a square."""
    draw, body = _drawn(seed, "places"), []
    filled = set(draw.sample(range(8), _squares(seed)))
    for place in range(8):
        step = STEPS[place % 4]
        ground = 16 if place < 4 else 239
        level = ground + step if place < 4 else ground - step
        x, y = 80 * (place % 4), 80 * (place // 4)
        body.append(
            f'<rect x="{x}" y="{y}" width="80" height="80" '
            f'fill="rgb({ground},{ground},{ground})"/>'
        )
        if place in filled:
            body.append(
                f'<rect x="{x + 24}" y="{y + 24}" width="32" height="32" '
                f'fill="rgb({level},{level},{level})"/>'
            )
    return _svg(320, 160, body, "#808080")


def right_brightness(seed: int) -> set[str]:
    """One that is missed is forgiven: the faintest are four levels from the ground."""
    return {str(_squares(seed)), str(_squares(seed) - 1)}


# Acuity: Landolt rings, gap one fifth of the diameter (ISO 8596) ----------------------

GAPS = ("right", "down", "left", "up")
RINGS = (30, 20, 15)
"""Diameters in CSS pixels; the last gap is three wide."""


def _gap(seed: int) -> int:
    return _drawn(seed, "acuity").randrange(4)


def draw_acuity(seed: int) -> str:
    """Three rings of falling size; the smallest one is asked about."""
    body, x = [], 40.0
    turns = [_drawn(seed, f"ring{n}").randrange(4) for n in range(len(RINGS) - 1)]
    for diameter, turn in zip(RINGS, [*turns, _gap(seed)], strict=True):
        stroke = diameter / 5
        radius = diameter / 2 - stroke / 2
        half = math.degrees(math.asin(stroke / 2 / radius))
        start, end = math.radians(half), math.radians(360 - half)
        body.append(
            f'<path transform="translate({x} 40) rotate({90 * turn})" fill="none" '
            f'stroke="#000" stroke-width="{stroke}" d="M {_on(radius, start)} '
            f'A {radius} {radius} 0 1 1 {_on(radius, end)}"/>'
        )
        x += 60
    return _svg(200, 80, body, "#fff")


def _on(radius: float, angle: float) -> str:
    return f"{radius * math.cos(angle):.3f} {radius * math.sin(angle):.3f}"


# Colour vision: a digit of red dots among green ones of the same luminances -----------

SEGMENTS = {  # which of the seven strokes a digit has: top, two, middle, two, bottom
    2: "1011101", 3: "1011011", 5: "1101011", 6: "1101111", 8: "1111111", 9: "1111011",
}  # fmt: skip
STROKES = (
    (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 1), (0, 1, 1, 1), (0, 1, 0, 2), (1, 1, 1, 2),
    (0, 2, 1, 2),
)  # fmt: skip


def _digit(seed: int) -> int:
    return _drawn(seed, "colour").choice(sorted(SEGMENTS))


def draw_colour(seed: int) -> str:
    """Dots of random size and lightness, so that hue alone shows the digit."""
    draw, body = _drawn(seed, "dots"), []
    strokes = [
        stroke
        for stroke, on in zip(STROKES, SEGMENTS[_digit(seed)], strict=True)
        if on == "1"
    ]
    for row in range(26):
        for column in range(26):
            x = 8 + 10 * column + draw.uniform(-2, 2)
            y = 8 + 10 * row + draw.uniform(-2, 2)
            if math.hypot(x - 133, y - 133) > 126:
                continue
            on = any(_near(x, y, stroke) for stroke in strokes)
            hue = draw.uniform(8, 24) if on else draw.uniform(78, 98)
            light = draw.uniform(42, 64)
            body.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{draw.uniform(3, 5):.1f}" '
                f'fill="hsl({hue:.0f} 45% {light:.0f}%)"/>'
            )
    return _svg(266, 266, body, "#f4f1ea")


def _near(x: float, y: float, stroke: tuple[int, int, int, int]) -> bool:
    """Tell whether a point lies on a stroke of the digit in the middle."""
    ax, ay, bx, by = (
        88 + 90 * stroke[0], 53 + 80 * stroke[1],
        88 + 90 * stroke[2], 53 + 80 * stroke[3],
    )  # fmt: skip
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = max(0, min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length))
    return math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)) < 13


BY_NAME = {
    check.name: check
    for check in (
        VisionCheck(
            "brightness",
            _("How many small squares do you see in these eight fields?"),
            tuple((str(n), str(n)) for n in range(9)),
            320,
            160,
            draw_brightness,
            right_brightness,
        ),
        VisionCheck(
            "acuity",
            _("Where is the gap of the smallest ring?"),
            (
                ("up", _("at the top")),
                ("right", _("on the right")),
                ("down", _("at the bottom")),
                ("left", _("on the left")),
                ("none", _("I cannot tell")),
            ),
            200,
            80,
            draw_acuity,
            lambda seed: {GAPS[_gap(seed)]},
        ),
        VisionCheck(
            "colour",
            _("Which digit do you see?"),
            (*((str(n), str(n)) for n in range(10)), ("none", _("none"))),
            266,
            266,
            draw_colour,
            lambda seed: {str(_digit(seed))},
        ),
    )
}


def judge(
    asked: Sequence[str],
    answers: Mapping[str, str],
    *,
    seed: int,
    needed: tuple[int, int],
) -> dict[str, str]:
    """passed, failed or skipped for each check that was asked for.

    `needed` are the width and height of the largest picture; a window that is not
    known, for want of a script, is skipped.
    """
    results = {}
    for name in asked:
        answer = str(answers.get(name, ""))[:20]
        if name == "viewport":
            results[name] = _judge_viewport(answer, needed)
        elif not answer:
            results[name] = "skipped"
        else:
            right = BY_NAME[name].right(seed)
            results[name] = "passed" if answer in right else "failed"
    return results


def _judge_viewport(size: str, needed: tuple[int, int]) -> str:
    width, _x, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        return "skipped"
    large = int(width) >= needed[0] and int(height) >= needed[1] + ROOM_BELOW
    return "passed" if large else "failed"
