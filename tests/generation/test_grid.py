from __future__ import annotations

from typing import Any

import pytest

from generation.engine.factors import setting_names
from generation.engine.grid import (
    MOST_RENDERS,
    Cell,
    ImpossibleGrid,
    PicturePair,
    axes_text,
    crossed,
    expand,
    overridden,
    parse_axes,
)
from generation.engine.methods.gatys import Gatys
from generation.engine.networks.architectures import NETWORK_LAYERS
from generation.engine.registry import METHODS

FIXED = {"size": 300, "evaluations": 240, "seed": 0}
PIXELS = {"c": "1" * 64, "s": "2" * 64, "d": "3" * 64}


def grid(
    pairs: list[PicturePair] | None = None, fixed: Any = FIXED, **axes: Any
) -> list[Cell]:
    usual = {"content_layer": ["conv3_1"], "alpha_beta": [0.01], "tv_weight": [0.0]}
    if {"alpha", "balance"} & axes.keys():
        del usual["alpha_beta"]
    return expand(
        pairs=[PicturePair("c", "s")] if pairs is None else pairs,
        pixel_digests=PIXELS,
        axes=usual | axes,
        fixed=fixed,
    )


def test_experiment_1_of_the_paper_has_25_renders() -> None:
    cells = grid(
        content_layer=["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"],
        alpha_beta=[1e-3, 1e-2, 1e-1, 0.25, 0.5],
    )
    assert len(cells) == 25
    assert len({cell.digest for cell in cells}) == 25


def test_the_order_is_pair_then_axis_by_axis() -> None:
    cells = grid(
        pairs=crossed(["c", "d"], ["s"]),
        content_layer=["conv1_1", "conv2_1"],
        alpha_beta=[0.1, 0.2],
        tv_weight=[0.0, 1.0],
        seed=[0, 1, 2],
    )
    order = [
        (
            cell.content,
            cell.settings.content_layer[0][0],
            cell.settings.alpha,
            cell.settings.tv_weight,
            cell.settings.seed,
        )
        for cell in cells
    ]
    assert order == sorted(order)
    assert len(order) == 48


LEVELS: dict[str, list[Any]] = {
    "method": ["gatys", "another"],
    "network": ["vgg16", "vgg19"],
    "weights": ["random:0", "random:1"],
    "pooling": ["max", "average"],
    "content_layer": ["conv2_1", "conv2_1|conv3_1"],
    "style_layers": ["conv1_1", "conv1_1|conv2_1"],
    "balance": [0.1, 0.3],
    "alpha": [0.5, 1.0],
    "beta": [0.5, 1.0],
    "tv_weight": [0.0, 1.0],
    "objective": ["paper", "notebook"],
    "start": ["noise", "content"],
    "blend": [0.25, 0.75],
    "seed": [0, 1],
    "size": [64, 128],
    "fit": ["square", "aspect"],
    "content_focus": ["0.5 0.5", "0.2 0.5"],
    "style_focus": ["0.5 0.5", "0.2 0.5"],
    "style_scale": [0.5, 1.0],
    "resample": ["lanczos", "nearest"],
    "optimiser": ["lbfgs", "adam"],
    "learning_rate": [1.0, 5.0],
    "evaluations": [10, 20],
    "pyramid": [1, 2],
    "precision": ["float32", "float64"],
    "range": ["inside", "free"],
    "colour": ["free", "luminance"],
}


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_of_the_engine_can_be_an_axis(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "another", Gatys())
    fixed = {
        "weights": "random:0",
        "start": "blend",
        "optimiser": "adam",
        "objective": "paper",
        "fit": "crop",
    }
    axes = overridden({"alpha": [1.0], "beta": [1.0]}, {setting: LEVELS[setting]})
    first, second = grid(fixed=fixed, **axes)
    assert getattr(first.settings, setting) != getattr(second.settings, setting)
    assert first.digest != second.digest


def test_content_is_weighed_by_one_axis_only() -> None:
    pair = {"pairs": [PicturePair("c", "s")], "pixel_digests": {"c": "1", "s": "2"}}
    fixed = {"weights": "random:0"}
    with pytest.raises(ImpossibleGrid, match="at least one balance or α/β"):
        expand(axes={"seed": [1]}, fixed=fixed, **pair)
    for other in ("alpha", "alpha_beta"):
        with pytest.raises(ImpossibleGrid, match="one of balance, alpha and α/β"):
            expand(axes={"balance": [0.1], other: [1.0]}, fixed=fixed, **pair)


def test_a_balance_of_a_pair_replaces_what_else_weighs_content() -> None:
    axes = {"alpha_beta": [0.1, 1.0], "seed": [1]}
    assert overridden(axes, {"balance": [0.1]}) == {"seed": [1], "balance": [0.1]}
    assert overridden({"balance": [0.1]}, {"alpha": [1.0]}) == {"alpha": [1.0]}


def test_a_seed_axis_gives_replicates() -> None:
    cells = grid(seed=[0, 1, 2])
    assert [cell.settings.seed for cell in cells] == [0, 1, 2]


def test_seeds_that_change_nothing_are_refused() -> None:
    with pytest.raises(ImpossibleGrid, match="seed change nothing here"):
        grid(start=["content"], seed=[0, 1])


def test_where_the_seed_does_nothing_a_condition_is_painted_once() -> None:
    cells = grid(start=["noise", "content"], seed=[0, 1, 2])
    assert [(each.settings.start, each.settings.seed) for each in cells] == [
        ("noise", 0), ("noise", 1), ("noise", 2), ("content", 0),
    ]  # fmt: skip


def test_without_content_its_layers_do_nothing() -> None:
    cells = grid(alpha_beta=[0.0, 0.1], content_layer=["conv1_1", "conv2_1"])
    assert len(cells) == 3


def test_a_set_of_style_layers_shares_the_weight_as_the_objective_does() -> None:
    cells = grid(
        style_layers=["conv1_1", "conv1_1|conv2_1", "conv1_1=0.75|conv2_1=0.25"],
        objective=["paper", "johnson"],
    )
    sets = [cell.settings.style_layers for cell in cells]
    assert sets[0] == (("conv1_1", 1.0),)
    assert sets[2] == (("conv1_1", 0.5), ("conv2_1", 0.5))
    assert sets[3] == (("conv1_1", 1.0), ("conv2_1", 1.0))
    assert sets[4] == sets[5] == (("conv1_1", 0.75), ("conv2_1", 0.25))


def test_content_layers_of_a_set_count_one_each() -> None:
    (cell,) = grid(content_layer=["conv2_1|conv3_1"])
    assert cell.settings.content_layer == (("conv2_1", 1.0), ("conv3_1", 1.0))


def test_a_pair_may_have_levels_of_its_own() -> None:
    pairs = [
        PicturePair("c", "s"),
        PicturePair("d", "s", {"content_layer": ["conv2_1"], "alpha_beta": [1.0]}),
    ]
    first, second = grid(pairs=pairs)
    assert first.settings.alpha == 0.01
    assert second.settings.content_layer == (("conv2_1", 1.0),)
    assert second.settings.alpha == 1.0
    assert second.settings.tv_weight == 0.0


def test_a_level_given_twice_is_painted_once() -> None:
    assert len(grid(alpha_beta=[0.1, 0.1])) == 1


def test_a_pair_given_twice_is_painted_once() -> None:
    assert len(grid(pairs=[PicturePair("c", "s")] * 2)) == 1


def test_a_ratio_means_alpha_with_beta_one() -> None:
    (cell,) = grid(alpha_beta=[0.25])
    assert (cell.settings.alpha, cell.settings.beta) == (0.25, 1.0)


def test_a_ratio_and_a_beta_contradict_each_other() -> None:
    with pytest.raises(ImpossibleGrid, match="α is the ratio and β is 1"):
        grid(beta=[2.0])


@pytest.mark.parametrize("axis", ["content_layer", "alpha_beta", "tv_weight", "seed"])
def test_a_grid_of_0_is_refused_with_the_axis_that_is_empty(axis: str) -> None:
    with pytest.raises(ImpossibleGrid, match=r"0 renders: give at least one"):
        grid(**{axis: []})


def test_a_grid_without_a_pair_is_refused() -> None:
    with pytest.raises(ImpossibleGrid, match="at least one pair of pictures"):
        grid(pairs=[])


class Endless(list[float]):
    def __iter__(self) -> Any:
        raise AssertionError("the grid was expanded")


def test_a_grid_of_a_million_is_refused_before_it_is_expanded() -> None:
    levels = Endless([0.0] * 1_000_000)
    with pytest.raises(ImpossibleGrid, match="1,000,000 renders; at most 20,000"):
        grid(tv_weight=levels)


def test_the_levels_of_single_pairs_are_counted_too() -> None:
    own = {"tv_weight": Endless([0.0] * MOST_RENDERS)}
    pairs = [PicturePair("c", "s"), PicturePair("d", "s", own)]
    with pytest.raises(ImpossibleGrid, match="20,001 renders; at most 20,000"):
        grid(pairs=pairs)


def test_the_largest_grid_is_possible() -> None:
    levels = [float(n) for n in range(MOST_RENDERS // 10)]
    layers = list(NETWORK_LAYERS["vgg16"][:10])
    assert len(grid(content_layer=layers, tv_weight=levels)) == MOST_RENDERS


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"content_layer": ["conv9_9"]}, "conv9_9"),
        ({"content_layer": ["conv3_4"]}, "vgg16 has"),
        ({"objective": ["paper", "gatys-paper"], "tv_weight": [1.0]}, "tv_weight must"),
        ({"alpha": [0.0], "beta": [0.0]}, "alpha and beta are both 0"),
        ({"size": [8]}, "size must be at least"),
        ({"seed": [0.5, 1.0]}, "seed must be a whole number"),
        ({"temperature": [1]}, "There is no setting 'temperature'"),
        ({"seed": "012"}, "must be a list"),
        ({"style_layers": ["conv1_1=much"]}, "takes numbers"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    axes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImpossibleGrid, match=sentence):
        grid(**axes)


def test_axes_are_written_as_they_are_read() -> None:
    text = (
        "seed = 0, 1, 2\n"
        "style_layers = conv1_1, conv1_1|conv2_1\n"
        "pooling = max, average\n"
        "alpha = 0.001, 1.0"
    )
    axes = parse_axes(text)
    assert axes == {
        "seed": [0, 1, 2],
        "style_layers": ["conv1_1", "conv1_1|conv2_1"],
        "pooling": ["max", "average"],
        "alpha": [0.001, 1.0],
    }
    assert axes_text(axes) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed", "is not an axis"),
        ("seed = 1, two", "takes whole numbers"),
        ("seed = 1\nseed = 2", "two lines for seed"),
        ("seed =", "at least one level"),
        ("blend = a lot", "takes numbers"),
        ("sede = 1", "There is no setting 'sede'"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(ImpossibleGrid, match=sentence):
        parse_axes(text)


@pytest.mark.parametrize("prefix", ["397923af", "dcbb9e9d"])
def test_a_published_weights_file_is_wanted_with_the_input_it_expects(
    prefix: str,
) -> None:
    spec = f"file:{prefix}{'0' * 56}"
    with pytest.raises(ImpossibleGrid, match=rf"IMAGENET1K_V1.*Write {spec}:v1\."):
        grid(weights=[spec])
    assert grid(weights=[f"{spec}:v1"])[0].settings.weights == f"{spec}:v1"
