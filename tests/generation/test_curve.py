"""A render's losses as lines: where they are and what is left out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from generation.loss_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    chart,
)


def row(
    evaluation: int, content: float, style: float, tv: float = 0.0
) -> dict[str, float]:
    return {"evaluation": evaluation, "level": 1, "content": content, "style": style,
            "tv": tv, "total": 0.1 * content + style}  # fmt: skip


def points(line: Line) -> list[tuple[float, float]]:
    pairs = line.points.split()
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


WEIGHTS = {"content": 0.1, "style": 1.0, "tv": 0.0}


def test_terms_are_drawn_as_they_count_on_a_logarithmic_axis() -> None:
    drawn = chart([row(1, 1000, 1000), row(2, 100, 10), row(3, 10, 1)], WEIGHTS)
    lines = {line.name: line for line in drawn.lines}
    assert set(lines) == {"total", "content", "style"}, "a term of weight 0 has no line"
    # 0.1 · 1000 = 10², 10¹, 10⁰ between the decades 10⁰ and 10⁴: equal steps.
    height = HEIGHT - TOP - BOTTOM
    ys = [y for _, y in points(lines["content"])]
    assert ys == pytest.approx([TOP + height * share for share in (0.5, 0.75, 1.0)])
    xs = [x for x, _ in points(lines["style"])]
    assert xs == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    assert lines["content"].last == pytest.approx(1.0)
    assert [tick.text for tick in drawn.y_ticks] == ["10⁰", "10¹", "10²", "10³", "10⁴"]


def test_a_loss_of_zero_has_no_point() -> None:
    drawn = chart([row(1, 0, 10), row(2, 10, 10)], WEIGHTS)
    content = next(line for line in drawn.lines if line.name == "content")
    assert len(points(content)) == 1


def test_a_loss_that_was_not_finite_has_no_point() -> None:
    broken = row(2, 10, 10) | {"content": None, "total": None}
    drawn = chart([row(1, 10, 10), broken, row(3, 10, 10)], WEIGHTS)  # type: ignore[list-item]
    counts = {line.name: len(points(line)) for line in drawn.lines}
    assert counts == {"total": 2, "content": 2, "style": 3}


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    curve = [row(n, 1000 / n, 10) for n in range(1, 2002)]
    line = next(it for it in chart(curve, WEIGHTS).lines if it.name == "content")
    assert len(points(line)) <= MOST_POINTS + 1
    assert line.last == pytest.approx(0.1 * 1000 / 2001)
    assert points(line)[-1][0] == pytest.approx(WIDTH - RIGHT)


def test_labels_do_not_cover_each_other() -> None:
    drawn = chart([row(1, 100, 10), row(2, 100, 10)], WEIGHTS)
    places = sorted(line.label_y for line in drawn.lines)
    assert all(b - a >= 14 for a, b in pairwise(places))


def test_nothing_kept_draws_nothing() -> None:
    assert chart([], WEIGHTS).lines == []
