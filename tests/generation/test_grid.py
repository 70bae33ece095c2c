from __future__ import annotations

from typing import Any

import pytest

from generation.engine.settings import NETWORK_LAYERS
from generation.grid import MOST_RENDERS, Cell, ImpossibleGrid, expand


def grid(**changes: Any) -> list[Cell]:
    return expand(
        **{
            "pairs": [("c", "s")],
            "pixel_digests": {"c": "1" * 64, "s": "2" * 64, "d": "3" * 64},
            "content_layers": ["conv3_1"],
            "alpha_beta": [0.01],
            "tv_weights": [0.0],
            "fixed": {"size": 300, "evaluations": 240, "seed": 0},
        }
        | changes
    )


def test_experiment_1_of_the_paper_has_25_renders() -> None:
    cells = grid(
        content_layers=["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"],
        alpha_beta=[1e-3, 1e-2, 1e-1, 0.25, 0.5],
    )
    assert len(cells) == 25
    assert len({cell.digest for cell in cells}) == 25


def test_the_order_is_pair_layer_ratio_tv() -> None:
    cells = grid(
        pairs=[("c", "s"), ("d", "s")],
        content_layers=["conv1_1", "conv2_1"],
        alpha_beta=[0.1, 0.2],
        tv_weights=[0.0, 1.0],
    )
    order = [
        (
            cell.content,
            cell.settings.content_layers[0][0],
            cell.settings.alpha,
            cell.settings.tv_weight,
        )
        for cell in cells
    ]
    assert order == sorted(order)
    assert len(order) == 16


def test_a_level_given_twice_is_painted_once() -> None:
    assert len(grid(alpha_beta=[0.1, 0.1])) == 1


def test_a_ratio_means_alpha_with_beta_one() -> None:
    (cell,) = grid(alpha_beta=[0.25])
    assert (cell.settings.alpha, cell.settings.beta) == (0.25, 1.0)


@pytest.mark.parametrize(
    "axis", ["pairs", "content_layers", "alpha_beta", "tv_weights"]
)
def test_a_grid_of_0_is_refused_with_the_axis_that_is_empty(axis: str) -> None:
    with pytest.raises(ImpossibleGrid, match=r"0 renders: give at least one"):
        grid(**{axis: []})


def test_a_grid_of_a_million_is_refused_before_it_is_expanded() -> None:
    class Endless(list[float]):
        def __iter__(self) -> Any:
            raise AssertionError("the grid was expanded")

    levels = Endless([0.0] * 1_000_000)
    with pytest.raises(ImpossibleGrid, match="1,000,000 renders; at most 20,000"):
        grid(tv_weights=levels)


def test_the_largest_grid_is_possible() -> None:
    levels = [float(n) for n in range(MOST_RENDERS // 10)]
    layers = list(NETWORK_LAYERS["vgg16"][:10])
    assert len(grid(content_layers=layers, tv_weights=levels)) == MOST_RENDERS


def test_what_the_engine_refuses_is_refused_here_with_its_sentence() -> None:
    with pytest.raises(ImpossibleGrid, match="conv9_9"):
        grid(content_layers=["conv9_9"])
