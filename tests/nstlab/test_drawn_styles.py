"""The styles drawn by code: the same each time, and each another to the eye."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nstlab import drawn_styles

Drawing = Callable[..., Image.Image]
DRAWINGS: list[Drawing] = [
    drawn_styles.stained_glass,
    drawn_styles.swirling_strokes,
    drawn_styles.woodcut,
]


def shares(image: Image.Image) -> NDArray[np.float64]:
    """How much of a picture lies in each of 64 boxes of colours."""
    boxes = np.asarray(image) // 64 @ np.array([16, 4, 1])
    return np.bincount(boxes.ravel(), minlength=64) / boxes.size


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_drawing_is_its_seed_and_nothing_else(draw: Drawing) -> None:
    first, again, other = draw(48, seed=3), draw(48, seed=3), draw(48, seed=4)
    assert first.size == (48, 48)
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_drawing_has_many_colours_and_edges_at_every_size(draw: Drawing) -> None:
    for side in (32, 96):
        image = draw(side)
        assert image.size == (side, side)
        values = np.asarray(image, float)
        assert values.std() > 40
        assert (shares(image) > 0.01).sum() >= 8


def test_no_two_drawings_have_one_palette() -> None:
    for one, other in combinations([draw(96) for draw in DRAWINGS], 2):
        assert np.minimum(shares(one), shares(other)).sum() < 0.6


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_drawing_too_small_for_a_stroke_is_refused(draw: Drawing) -> None:
    with pytest.raises(ValueError, match="32 pixels or more"):
        draw(31)


def test_the_demo_takes_each_of_them() -> None:
    assert list(drawn_styles.DRAWN.values()) == DRAWINGS
