"""The measures by which painted pictures are held against the published ones."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.paper import Cell, as_saved, cells, likeness, outcomes
from generation.engine.grid import PicturePair
from generation.engine.painter import Painter
from generation.engine.settings import RenderSettings
from generation.presets import PRESETS

SETTINGS = RenderSettings(
    objective="notebook", weights="random:0", size=32, alpha=0.01, resample="nearest"
)


def photo(seed: int, side: int = 32) -> Image.Image:
    """Patches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def test_a_picture_is_like_itself_and_less_like_another() -> None:
    published = as_saved(photo(1), (32, 32))
    with Painter() as painter:
        network = painter.network(SETTINGS)
        same, near, other = (
            astuple(likeness(each, published, SETTINGS, network))
            for each in (photo(1), Image.blend(photo(1), photo(2), 0.2), photo(2))
        )
    for value, exact in zip(same, (0, 1, 0, 0), strict=True):
        assert value == pytest.approx(exact, abs=0.06)
    assert same[0] < near[0] < other[0]
    assert same[1] > near[1] > other[1]
    assert same[2] < near[2] < other[2]
    assert same[3] < near[3] < other[3]


def test_a_picture_of_another_size_is_judged_at_the_published_one() -> None:
    published = as_saved(photo(1), (32, 32))
    with Painter() as painter:
        like = likeness(photo(1, 64), published, SETTINGS, painter.network(SETTINGS))
    assert like.difference < 6


def test_outcomes_are_1_where_nothing_is_taken_over(tmp_path: Path) -> None:
    for name, seed in (("content.png", 1), ("style.png", 2)):
        photo(seed).save(tmp_path / name)
    cell = Cell(PicturePair("content.png", "style.png"), SETTINGS)
    with Painter() as painter:
        content, style = outcomes([photo(1), photo(2)], cell, painter, tmp_path)
    assert (content.style, content.content) == (pytest.approx(1), 0)
    assert (style.style, style.content) == (pytest.approx(0, abs=1e-6), 1)


def test_the_free_grid_has_the_layers_of_experiment_1_and_as_many_levels() -> None:
    planned = list(cells("figure-4.1", None, "random:0").values())
    axes = PRESETS["1"].axes
    layers = [each.settings.content_layer[0][0] for each in planned]
    assert list(dict.fromkeys(layers)) == axes["content_layer"]
    balances = {each.settings.balance for each in planned}
    assert len(balances) == len(axes["alpha_beta"])
    assert len(planned) == len(set(layers)) * len(balances)
