"""What a GPU must find: nothing read back in an evaluation, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from generation.engine.devices import Evaluation
from generation.engine.methods.gatys.problem import Problem
from generation.engine.networks.vgg import Network
from generation.engine.networks.weights import state_dict
from generation.engine.painter import Painter
from generation.engine.pictures.canvas import to_tensor
from generation.engine.request import Painted, Request
from generation.engine.settings import RenderSettings

from .conftest import picture

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="There is no CUDA device on this machine."
)
CHOICES: list[dict[str, Any]] = [
    {"alpha": 1e-3},
    {"alpha": 1.0, "content_layer": (("conv1_1", 1.0),), "tv_weight": 2.0},
    {"alpha": 0.0, "style_layers": (("conv2_1", 1.0),)},
]


def problem(painter: Painter, network: Network) -> Problem:
    cells = [
        painter.cell(
            RenderSettings(size=32, **choice), network, picture(1), picture(2), 32
        )[0]
        for choice in CHOICES
    ]
    return Problem(cells, network)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_an_evaluation_reads_nothing_from_the_device(pooling: str) -> None:
    """Tensors of the meta device have no values: to read one raises."""
    state = state_dict("random:0", network="vgg16", folder=None)
    network = Network(state, pooling=pooling, device="meta")
    cells = problem(Painter(device="meta"), network)

    terms, gradient = cells.evaluate(torch.empty(3, 3, 32, 32, device="meta"))

    assert terms.shape == (3, 4)
    assert gradient.shape == (3, 3, 32, 32)
    with pytest.raises(RuntimeError):
        terms.tolist()


def test_it_evaluates_every_batch_in_the_same_memory(network: Network) -> None:
    asked = problem(Painter(), network)
    places = set()

    def function(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places.add(points.data_ptr())
        return asked.evaluate(points)

    points = [to_tensor(picture(seed)) for seed in range(3, 7)]
    evaluation = Evaluation(function, batch=3, like=points[0])
    for some in (points[:3], points[1:]):
        terms, gradients = evaluation(some)
        expected, slopes = asked.evaluate(torch.cat(some))
        assert torch.equal(terms, expected)
        assert torch.equal(gradients, slopes)
    assert len(places) == 1
    assert evaluation.how == "eager"


def test_a_coarser_network_leaves_grams_and_losses_in_float32() -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    point = torch.cat([to_tensor(picture(seed)) for seed in (3, 4, 5)])
    terms, gradients = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        network = Network(state, pooling="average", dtype=dtype)
        terms[dtype], gradients[dtype] = problem(Painter(), network).evaluate(point)
        assert terms[dtype].dtype == gradients[dtype].dtype == torch.float32

    fine, coarse = terms.values()
    assert coarse[:, 0].tolist() == pytest.approx(fine[:, 0].tolist(), rel=0.02)
    one, other = (each.flatten(1) for each in gradients.values())
    assert torch.cosine_similarity(one, other).min() > 0.99


def test_whatever_reads_the_network_sets_its_arithmetic(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU torch's own choice is TF32, also for what is called float32."""
    inside = False
    read: list[bool] = []

    @contextmanager
    def arithmetic() -> Iterator[None]:
        nonlocal inside
        before, inside = inside, True
        yield
        inside = before

    features = network.features

    def counted(*arguments: Any) -> Any:
        read.append(inside)
        return features(*arguments)

    monkeypatch.setattr(network, "arithmetic", arithmetic)
    monkeypatch.setattr(network, "features", counted)
    asked = problem(Painter(), network)
    targets = len(read)
    point = torch.cat([to_tensor(picture(seed)) for seed in (3, 4, 5)])
    for evaluated in (asked.layer_losses, asked.terms, asked.evaluate):
        evaluated(point)
    assert len(read) == targets + 3
    assert all(read)


@needs_gpu
def test_float32_on_a_gpu_is_float32_whatever_torch_allows(network: Network) -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    on_gpu = Network(state, pooling="average", device="cuda")
    point = torch.cat([to_tensor(picture(seed)) for seed in (3, 4, 5)])
    terms = problem(Painter(device="cuda"), on_gpu).terms(point.cuda()).cpu()
    expected = problem(Painter(), network).terms(point)
    assert torch.allclose(terms, expected, rtol=1e-4)


@needs_gpu
def test_a_graph_evaluates_as_the_cpu_does(network: Network) -> None:
    state = state_dict("random:0", network="vgg16", folder=None)
    on_gpu = Network(state, pooling="average", device="cuda")
    asked = problem(Painter(device="cuda"), on_gpu)
    points = [to_tensor(picture(seed)) for seed in range(3, 7)]
    evaluation = Evaluation(asked.evaluate, batch=3, like=points[0].cuda())
    for some in (points[:3], points[1:]):
        terms, gradients = evaluation([point.cuda() for point in some])
        expected, slopes = problem(Painter(), network).evaluate(torch.cat(some))
        assert torch.allclose(terms.cpu(), expected, rtol=1e-4)
        for row in range(3):
            error = (gradients[row].cpu() - slopes[row]).norm() / slopes[row].norm()
            assert error < 1e-5
    assert evaluation.how == "CUDA graph"


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_batch_on_a_gpu_ends_where_its_pictures_end_alone(precision: str) -> None:
    """Median within 1 %, worst of 25 within 5 %."""
    requests = [
        Request(
            settings=RenderSettings(
                alpha=alpha,
                weights="random:0",
                pooling="average",
                content_layer=((layer, 1.0),),
                size=64,
                evaluations=40,
                precision=precision,
            ),
            content=picture(1, 64, 64),
            style=picture(2, 64, 64),
        )
        for layer in ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
        for alpha in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    ]

    def ends(together: int) -> np.ndarray:
        with Painter(device="cuda") as painter:
            painter.together = together
            results = [each for _, each in painter.render_many(requests)]
        painted = [each for each in results if isinstance(each, Painted)]
        assert {each.environment["evaluation"] for each in painted} == {"CUDA graph"}
        return np.array([min(row["total"] for row in each.curve) for each in painted])

    apart = np.abs(ends(25) / ends(1) - 1)
    assert np.median(apart) <= 0.01
    assert apart.max() <= 0.05
