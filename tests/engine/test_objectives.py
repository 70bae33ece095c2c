"""Every objective against its published definition, in independent float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.methods.gatys.problem import (
    Problem,
    content_loss,
    gram,
    style_loss,
    tv_loss,
)
from generation.engine.networks.architectures import POOLINGS
from generation.engine.networks.vgg import Network
from generation.engine.networks.weights import INPUTS, state_dict
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import start_pixels, to_image, to_tensor
from generation.engine.settings import RenderSettings

from . import reference
from .conftest import picture

CAFFE = np.array([123.68, 116.779, 103.939])
SWAPPED = CAFFE[::-1]
FEATURES = 255 * np.array([0.48235, 0.45882, 0.40784])
GATYS = 255 * np.array([0.48501961, 0.45795686, 0.40760392])
PYSTICHE = 255 * np.array([0.485, 0.458, 0.408])


def mean_square(one: reference.Array, other: reference.Array) -> float:
    return float(((one - other) ** 2).mean())


# Objective: means, content, style (given the picture's area), TV.
PUBLISHED: dict[str, tuple[reference.Array, Any, Any, Any]] = {
    "paper": (
        FEATURES,
        reference.equation_4,
        lambda s, g, _: reference.equation_5(s, g),
        reference.equation_7,
    ),
    "notebook": (
        SWAPPED,
        reference.equation_4,
        reference.notebook_style,
        lambda p: (reference.squared_steps(p) ** 1.25).sum(),
    ),
    "gatys-paper": (
        CAFFE,
        reference.equation_4,
        lambda s, g, _: reference.equation_5(s, g),
        None,
    ),
    "gatys-code": (
        GATYS,
        mean_square,
        lambda s, g, _: reference.gatys_code_style(s, g),
        None,
    ),
    "johnson": (
        CAFFE,
        mean_square,
        lambda s, g, _: reference.johnson_style(s, g),
        reference.equation_7,
    ),
    "pystiche": (
        PYSTICHE,
        mean_square,
        lambda s, g, _: reference.pystiche_style(s, g),
        lambda p: reference.squared_steps(p / 255).mean(),  # its pictures are in 0-1
    ),
}


@pytest.fixture(scope="session")
def arrays() -> dict[str, reference.Array]:
    state = state_dict("random:0", network="vgg16", folder=None)
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def array(image: Image.Image) -> reference.Array:
    return np.asarray(image, dtype=float)


def test_it_has_a_definition_for_every_objective() -> None:
    assert set(PUBLISHED) == set(OBJECTIVES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_computes_each_term_as_published(
    name: str, network: Network, arrays: dict[str, reference.Array]
) -> None:
    means, content_of, style_of, tv_of = PUBLISHED[name]
    tv_weight = 0.7 if tv_of else 0.0
    settings = RenderSettings(
        alpha=0.3,
        beta=2.0,
        tv_weight=tv_weight,
        objective=name,
        weights="random:0",
        pooling="average",
        content_layer=(("conv2_2", 0.5), ("conv4_1:pre", 1.0)),
        style_layers=(("conv1_1", 0.2), ("conv3_1", 0.3), ("conv5_1", 0.4)),
        size=24,
        style_scale=1.5,
    )
    content, style, judged = picture(1, 24, 24), picture(2, 36, 36), picture(3, 24, 24)
    cell, _ = Painter().cell(settings, network, content, style, 24)
    problem = Problem([cell], network)
    by_content, by_style = problem.layer_losses(to_tensor(judged))
    total = problem.terms(to_tensor(judged))[0].tolist()

    seen, read, made = (
        reference.features(array(image), arrays, means, "average")
        for image in (content, style, judged)
    )
    expected_content = {
        layer: content_of(seen[layer], made[layer])
        for layer, _ in settings.content_layer
    }
    expected_style = {
        layer: style_of(read[layer], made[layer], 24 * 24)
        for layer, _ in settings.style_layers
    }
    expected_tv = tv_of(array(judged)) if tv_of else 0.0
    for layer, value in expected_content.items():
        assert by_content[layer].item() == pytest.approx(value, rel=1e-5)
    for layer, value in expected_style.items():
        assert by_style[layer].item() == pytest.approx(value, rel=1e-5)
    terms = [
        sum(expected_content[layer] * w for layer, w in settings.content_layer),
        sum(expected_style[layer] * w for layer, w in settings.style_layers),
        expected_tv,
    ]
    assert total[1:] == pytest.approx(terms, rel=1e-5)
    weighed = 0.3 * terms[0] + 2.0 * terms[1] + tv_weight * terms[2]
    assert total[0] == pytest.approx(weighed, rel=1e-5)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_it_reads_every_convolution_before_and_after_its_relu(
    pooling: str, arrays: dict[str, reference.Array]
) -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    network = Network(state, pooling=pooling)
    image = picture(5, 20, 28)
    expected = reference.features(array(image), arrays, FEATURES, pooling)
    assert_reads(network, image, expected)


def test_weights_of_caffe_see_blue_first_on_a_scale_of_0_to_255(
    arrays: dict[str, reference.Array],
) -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    image = picture(5, 20, 28)
    expected = reference.features(
        array(image)[:, :, ::-1], arrays, CAFFE[::-1], "average"
    )
    assert_reads(
        Network(state, pooling="average", expects="caffe-bgr"), image, expected
    )


def test_torchvisions_own_weights_see_standardised_fractions(
    arrays: dict[str, reference.Array],
) -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    image = picture(5, 20, 28)
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    standardised = (array(image) / 255 - mean) / deviation
    expected = reference.features(standardised, arrays, np.zeros(3), "max")
    assert_reads(Network(state, pooling="max", expects="v1"), image, expected)


def assert_reads(
    network: Network, image: Image.Image, expected: dict[str, reference.Array]
) -> None:
    read = network.features(to_tensor(image), expected)
    assert len(read) == len(expected) == 26
    for layer, maps in expected.items():
        assert read[layer].shape == (1, *maps.shape)
        error = np.abs(read[layer][0].numpy() - maps).max()
        assert error <= 1e-5 * np.abs(maps).max()


def random_features(seed: int, channels: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, side, side, generator=generator)


def losses(name: str, channels: int, side: int) -> float:
    objective = OBJECTIVES[name]
    made, style = (random_features(seed, channels, side) for seed in (1, 2))
    difference = gram(made, objective) - gram(style, objective)
    return style_loss(difference, objective, 300 * 300).item()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_style_picture_laid_four_times_over_asks_for_the_same_style(
    name: str, network: Network
) -> None:
    """Their values at conv1_1 differ at the seams only."""
    tile = picture(2, 64, 64)
    tiled = Image.fromarray(np.tile(np.asarray(tile), (2, 2, 1)))
    settings = RenderSettings(
        alpha=0, objective=name, style_layers=(("conv1_1", 1.0),), size=64
    )
    one, four = (
        Painter()
        .cell(
            replace(settings, style_scale=style.width / 64),
            network,
            picture(1),
            style,
            64,
        )[0]
        .grams["conv1_1"]
        for style in (tile, tiled)
    )
    assert ((four - one).norm() / one.norm()).item() < 0.03


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_it_gives_gatys_code_a_thousand_times_johnsons_style_loss(
    channels: int,
) -> None:
    ours, theirs = losses("gatys-code", channels, 8), losses("johnson", channels, 8)
    assert ours == pytest.approx(1000 * theirs, rel=1e-5)


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_it_gives_pystiche_four_times_equation_5(channels: int) -> None:
    ours, printed = losses("pystiche", channels, 8), losses("paper", channels, 8)
    assert ours == pytest.approx(4 * printed, rel=1e-5)


@pytest.mark.parametrize(
    ("channels", "side", "times"),
    [
        (64, 300, 455),
        (128, 150, 114),
        (256, 75, 28.4),
        (512, 37, 6.74),
        (512, 18, 0.377),
    ],
)
def test_it_weighs_the_notebooks_layers_as_its_one_normaliser_does(
    channels: int, side: int, times: float
) -> None:
    ratio = losses("notebook", channels, side) / losses("paper", channels, side)
    assert ratio == pytest.approx(times, rel=2e-3)


@pytest.fixture(scope="module", params=itertools.product(POOLINGS, INPUTS))
def exact(request: pytest.FixtureRequest) -> Network:
    """In float64, for each pooling and each input that weights expect."""
    pooling, expects = request.param
    state = state_dict("random:0", network="vgg16", folder=None)
    return Network(state, pooling=pooling, expects=expects, dtype=torch.float64)


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_gradient_is_the_slope_of_its_total(name: str, exact: Network) -> None:
    settings = RenderSettings(
        alpha=0.01,
        tv_weight=0.1 if OBJECTIVES[name].tv else 0.0,
        objective=name,
        precision="float64",
        content_layer=(("conv3_1", 1.0), ("conv2_1:pre", 0.5)),
        size=16,
    )
    cell, _ = Painter().cell(
        settings, exact, picture(1, 16, 16), picture(2, 16, 16), 16
    )
    problem = Problem([cell], exact)
    generator = torch.Generator().manual_seed(0)
    point = 255 * torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    _, gradient = problem.evaluate(point)

    for _ in range(3):
        way = torch.randn(point.shape, generator=generator, dtype=torch.float64)
        step = 1e-6
        ahead, behind = (
            problem.terms(point + sign * step * way)[0, 0] for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        assert (gradient * way).sum().item() == pytest.approx(slope.item(), rel=1e-5)


def test_it_evaluates_a_picture_alike_alone_and_in_a_batch(network: Network) -> None:
    painter = Painter()
    choices: list[dict[str, Any]] = [
        {"alpha": 1e-3},
        {"alpha": 1.0, "content_layer": (("conv1_1", 1.0),), "tv_weight": 2.0},
        {"alpha": 0.0, "style_layers": (("conv2_1", 1.0),)},
        {"alpha": 1.0, "beta": 0.0, "content_layer": (("conv4_1:pre", 1.0),)},
    ]
    cells = [
        painter.cell(
            RenderSettings(size=32, **choice), network, picture(1), picture(2), 32
        )[0]
        for choice in choices
    ]
    points = torch.cat([to_tensor(picture(seed)) for seed in range(3, 7)])
    terms, gradients = Problem(cells, network).evaluate(points)

    for row, cell in enumerate(cells):
        alone, gradient = Problem([cell], network).evaluate(points[row : row + 1])
        assert terms[row].tolist() == pytest.approx(alone[0].tolist(), rel=1e-5)
        error = (gradients[row] - gradient[0]).norm() / gradient.norm()
        assert error.item() < 1e-5


def test_it_starts_the_notebooks_noise_where_the_notebook_does() -> None:
    blank = torch.zeros(1, 3, 64, 64)
    ours, plain = (
        start_pixels(
            RenderSettings(alpha=1, objective=name, seed=5, range="free"),
            blank,
            picture(1),
            None,
        )
        for name in ("notebook", "paper")
    )
    # uniform(0, 255) - 128, to which the wrong way round means are added back
    shift = torch.tensor(SWAPPED - 128, dtype=torch.float32).view(1, 3, 1, 1)
    assert torch.allclose(ours, plain + shift)
    assert 0 <= plain.min() < 1
    assert 254 < plain.max() <= 255


def test_it_rounds_but_cuts_off_for_the_notebook() -> None:
    pixels = torch.tensor([-3.0, 0.5, 1.5, 1.6, 254.9, 300.0]).repeat(3, 1)
    shaped = pixels.view(1, 3, 1, 6)

    def reds(name: str) -> list[int]:
        return np.asarray(to_image(shaped, OBJECTIVES[name].rounding))[0, :, 0].tolist()

    assert reds("paper") == [0, 0, 2, 2, 255, 255]
    assert reds("notebook") == [0, 0, 1, 1, 254, 255]


def test_it_measures_total_variation_over_all_channels() -> None:
    step = torch.zeros(2, 3, 3, 3)
    step[1, :, :, 2] = 10.0

    values: Callable[[str], list[float]] = lambda name: tv_loss(  # noqa: E731
        step, OBJECTIVES[name]
    ).tolist()
    assert values("paper") == [0, 3 * 3 * 10]
    assert values("notebook") == pytest.approx([0, 3 * 2 * 100**1.25])
    assert values("pystiche") == pytest.approx([0, 3 * 2 * (10 / 255) ** 2 / 12])
    assert values("gatys-code") == [0, 0]


@pytest.mark.parametrize("shape", [(1, 8), (8, 1)])
@pytest.mark.parametrize("name", [each for each in OBJECTIVES if OBJECTIVES[each].tv])
def test_a_single_row_or_column_has_a_finite_total_variation(
    name: str, shape: tuple[int, int]
) -> None:
    line = torch.arange(24.0).reshape(1, 3, *shape).requires_grad_()
    variation = tv_loss(line, OBJECTIVES[name])
    (slope,) = torch.autograd.grad(variation.sum(), line)
    assert variation.item() == (3 * 7 if name in ("paper", "johnson") else 0)
    assert slope.isfinite().all()


def test_it_halves_the_sum_of_content_or_takes_its_mean() -> None:
    difference = torch.full((1, 2, 3, 3), 2.0)

    assert content_loss(difference, OBJECTIVES["paper"]).item() == 18 * 4 / 2
    assert content_loss(difference, OBJECTIVES["johnson"]).item() == 4
